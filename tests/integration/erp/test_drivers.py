"""Drivers that installed packages bring."""

from __future__ import annotations

import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Invalid
from sutler.wire import to_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway

CODE = """
from dataclasses import replace

from services.erp.adapters.odoo.driver import OdooDriver
from services.erp.adapters.odoo.jsonrpc import INFO, JsonRpc

MINE = replace(INFO, driver="mine", display_name="My own", capabilities=())


def register(registry):
    registry.add(MINE, lambda connection, gate: OdooDriver(connection, JsonRpc(connection, gate), MINE))
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, points: str) -> None:
    """Puts a package with a driver where Python finds it and its entry points."""
    folder.mkdir()
    (folder / "own_driver.py").write_text(CODE)
    described = folder / "own_driver-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: own-driver\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text(f"[sutler.erp.drivers]\n{points}")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "own_driver", raising=False)
    invalidate_caches()


async def test_a_driver_of_another_package_serves_connections(
    tmp_path: Path, sqlite: str, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10, fields=["name"])
    with monkeypatch.context() as installed:
        install(tmp_path / "packages", installed, "mine = own_driver:register\n")
        async with gateway(sqlite) as client:
            await connect(client, sandbox.url, driver="mine")
            listed = await client.erp.ListDrivers(erp_pb2.ListDriversRequest())
            assert ("mine", "My own") in [(one.driver, one.display_name) for one in listed.drivers]
            assert (await client.erp.GetRecord(get)).values["name"] == "Alder Hosting"
    async with gateway(sqlite) as client:  # the package is gone, its connection is not
        with pytest.raises(Invalid) as caught:
            await client.erp.GetRecord(get)
        assert caught.value.reason == "DRIVER_UNKNOWN"
        assert caught.value.metadata["driver"] == "mine"


async def test_options_that_a_driver_does_not_take_are_refused(erp: Sutler, sandbox: SandboxProcess) -> None:
    with pytest.raises(Invalid) as caught:
        await connect(erp, sandbox.url, "other", driver_options=to_struct({"colour": 1}))
    assert (caught.value.reason, caught.value.violations[0].field) == (
        "FIELD_INVALID",
        "connection.driver_options",
    )


@pytest.mark.parametrize("point", ["mine = no_such_module:register\n", "odoo-jsonrpc = own_driver:INFO\n"])
async def test_a_driver_that_cannot_be_loaded_stops_nothing(
    tmp_path: Path, sqlite: str, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    install(tmp_path / "packages", monkeypatch, point)
    async with gateway(sqlite) as client:
        listed = await client.erp.ListDrivers(erp_pb2.ListDriversRequest())
        names = [one.driver for one in listed.drivers]
        assert "mine" not in names
        assert names.count("odoo-jsonrpc") == 1
        with pytest.raises(Invalid) as caught:
            await connect(client, sandbox.url, driver="mine")
        assert caught.value.reason == "DRIVER_UNKNOWN"
