from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.erp.adapters import make_registry
from tests.conformance.erp_drivers.places import ODOO, OLD_TRYTON, TRYTON, Desk, Place
from tests.conformance.sandbox.processes import started as sandbox_started
from tests.conformance.tryton.installing import PASSWORD
from tests.conformance.tryton.processes import started as tryton_started
from tests.conformance.tryton.template import LIMITED

KINDS = ["odoo-jsonrpc", "odoo-json2", "tryton@7.0", "tryton@8.2"]


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Place]]:
    """ERPs that the tests of one worker share, each started when it is first needed."""
    with ExitStack() as stack:
        yield _Places(stack, tmp_path_factory)


class _Places(dict[str, Place]):
    def __init__(self, stack: ExitStack, folders: pytest.TempPathFactory) -> None:
        super().__init__()
        self._stack = stack
        self._folders = folders

    def __missing__(self, kind: str) -> Place:
        name, _, version = kind.partition("@")
        if name == "tryton":
            folder: Path = self._folders.mktemp(f"tryton-{version}")
            names = OLD_TRYTON if version == "7.0" else TRYTON
            server = self._stack.enter_context(tryton_started(version, folder))
            self[kind] = Place(kind, server.url, PASSWORD, LIMITED, names, {"single_writer": True})
        else:
            flags = ["--json2"] if name == "odoo-json2" else []
            sandbox = self._stack.enter_context(sandbox_started(*flags))
            self[kind] = Place(kind, sandbox.url, "admin", ("demo", "demo"), ODOO)
        return self[kind]


@pytest.fixture(params=[pytest.param(kind, marks=pytest.mark.xdist_group(kind)) for kind in KINDS])
def place(request: pytest.FixtureRequest, places: dict[str, Place]) -> Place:
    """Every ERP that a driver speaks to."""
    return places[request.param]


@pytest.fixture
async def desk(place: Place) -> AsyncIterator[Desk]:
    """Its driver, as the administrator."""
    driver = place.driver(make_registry())
    yield Desk(place, driver, place.admin)
    await driver.close()
