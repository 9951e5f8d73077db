from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from sutler.store import Database, Migration, open_database
from sutler.testing import postgresql_database

from tests.conformance.store.places import TABLES, Place

Opens = Callable[..., AbstractAsyncContextManager[Database]]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with postgresql_database() as url:
        yield url


def _place(kind: str, request: pytest.FixtureRequest, folder: Path) -> Place:
    if kind.startswith("quick"):
        request.getfixturevalue("monkeypatch").setitem(Database.write.__kwdefaults__, "quick", True)
    if kind.endswith("sqlite"):
        return Place("sqlite", f"sqlite:///{folder}/store.db")
    if kind.endswith("memory"):
        return Place("memory", "sqlite:///:memory:")
    url = request.getfixturevalue("postgresql_url")
    return Place(kind, f"{url}?schema=t_{uuid4().hex[:12]}")


@pytest.fixture
def one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes changes that wait share a commit however slow the machine is."""
    monkeypatch.setattr("sutler.store.batch.WORK_SECONDS", 60.0)
    monkeypatch.setattr("sutler.store.writer.LOOP_SECONDS", 60.0)


@pytest.fixture(params=["sqlite", "quick sqlite", "memory", "quick memory", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Every engine; where changes may run on the event loop, once with them there."""
    return _place(request.param, request, tmp_path)


@pytest.fixture(params=["sqlite", "quick sqlite", "postgresql"])
def shared_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Every engine whose data other processes see."""
    return _place(request.param, request, tmp_path)


@pytest.fixture(params=["sqlite", "quick sqlite"])
def sqlite_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return _place(request.param, request, tmp_path)


@pytest.fixture
def postgresql_place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return _place("postgresql", request, tmp_path)


@pytest.fixture
def opens() -> Opens:
    """Opens a place with the table ``items``."""

    def open_place(place: Place | str, **more: Any) -> AbstractAsyncContextManager[Database]:
        url = place if isinstance(place, str) else place.url
        given: dict[str, Any] = {"migrations": {"test": (Migration(1, "items", TABLES),)}, **more}
        return open_database(url, name="test", **given)

    return open_place


@pytest.fixture
async def db(place: Place, opens: Opens) -> AsyncIterator[Database]:
    async with opens(place) as database:
        yield database


@pytest.fixture
async def shared_db(shared_place: Place, opens: Opens) -> AsyncIterator[Database]:
    async with opens(shared_place) as database:
        yield database
