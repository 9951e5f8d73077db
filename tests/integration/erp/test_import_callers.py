"""Imports belong to those who began them, and no row stops one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sutler.auth import make_token
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import PermissionDenied
from sutler.status import from_status
from sutler.testing import serve

from services.erp.adapters.odoo.driver import OdooDriver
from services.erp.app import app
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, connect
from tests.integration.erp.imports import chunk, get_import, in_erp, new_import_id, opening, partners, run

SECRET = "x" * 32


@pytest.fixture
async def shared(sqlite: str, sandbox: SandboxProcess) -> AsyncIterator[Sutler]:
    """A gateway with several callers, of whom ``user:demo`` works as another user of the ERP."""
    async with serve(app, Settings, data=sqlite, secret_keys=KEY, auth_secret=SECRET) as (client, _):
        demo = erp_pb2.UserMapping(caller="user:demo", username="demo", secret="demo")
        await connect(client, sandbox.url, user_mappings=[demo])
        yield client


def caller(name: str, *models: str) -> dict[str, str]:
    permissions = [f"erp.records.import:main/{model}" for model in models or ("res.partner",)]
    return {"authorization": f"Bearer {make_token(SECRET, name, permissions=permissions)}"}


@pytest.mark.parametrize("other", ["user:other", "user:demo"])
async def test_only_its_creator_goes_on_with_an_import(shared: Sutler, sandbox: SandboxProcess, other: str) -> None:
    mark = new_import_id()
    broken = [opening(mark), chunk(0, partners(mark, 0, 2)), chunk(7, partners(mark, 7, 1))]
    with pytest.raises(Exception, match="leave no gaps"):
        await run(shared, *broken, metadata=caller("user:anna"))
    with pytest.raises(PermissionDenied) as caught:
        await run(shared, opening(mark), chunk(0, partners(mark, 0, 3)), metadata=caller(other))
    assert caught.value.metadata["target"] == f"{MAIN}/imports/{mark}"
    assert in_erp(sandbox, mark) == [f"{mark} 0", f"{mark} 1"]
    answers = await run(shared, opening(mark), chunk(2, partners(mark, 2, 1)), metadata=caller("user:anna"))
    assert answers[-1].progress.created_count == 3


async def test_an_import_is_not_gone_on_with_as_another_user_of_the_erp(
    shared: Sutler, sandbox: SandboxProcess
) -> None:
    mark = new_import_id()
    with pytest.raises(Exception, match="leave no gaps"):
        await run(shared, opening(mark), chunk(7, partners(mark, 7, 1)), metadata=caller("user:anna"))
    mapped = erp_pb2.Connection(name=MAIN)
    mapped.user_mappings.add(caller="user:anna", username="demo", secret="demo")
    await shared.erp.UpdateConnection(erp_pb2.UpdateConnectionRequest(connection=mapped))
    with pytest.raises(PermissionDenied):
        await run(shared, opening(mark), chunk(0, partners(mark, 0, 1)), metadata=caller("user:anna"))
    assert in_erp(sandbox, mark) == []


async def test_whatever_is_wrong_with_a_row_is_its_result(
    shared: Sutler, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = new_import_id()
    prepare = OdooDriver.prepare

    async def failing(self: OdooDriver, ask: Any, schema: Any, values: Any, schemas: Any) -> Any:
        if values["name"] == f"{mark} 3":
            raise ArithmeticError("nobody thought of this")
        return await prepare(self, ask, schema, values, schemas)

    monkeypatch.setattr(OdooDriver, "prepare", failing)
    rows = partners(mark, 0, 5)
    rows[1]["user_ids"] = {"create": [{"login": mark}]}
    answers = await run(shared, opening(mark), chunk(0, rows), metadata=caller("user:anna"))
    failed = {one.index: from_status(one.status) for one in answers[1].results if one.HasField("status")}
    assert {index: error.reason for index, error in failed.items()} == {1: "PERMISSION_MISSING", 3: "INTERNAL"}
    assert failed[3].metadata["incident"] and "nobody" not in failed[3].message
    assert in_erp(sandbox, mark) == [f"{mark} {index}" for index in (0, 2, 4)]
    assert (await get_import(shared, mark)).state == erp_pb2.Import.STATE_SUCCEEDED
