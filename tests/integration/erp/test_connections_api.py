"""Connections through a real server: life, secrets, pages, checks, states."""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    Invalid,
    NotFound,
    PermissionDenied,
    SutlerError,
)

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, connect, connection_in_state, gateway, get_connection

Connection = erp_pb2.Connection
HEALTHY, UNHEALTHY = Connection.STATE_HEALTHY, Connection.STATE_UNHEALTHY


async def test_a_connection_lives_and_keeps_its_secret(database: str, sandbox: SandboxProcess) -> None:
    async with gateway(database) as client:
        made = await connect(client, sandbox.url, display_name="Shop")
        assert (made.name, made.secret, made.HasField("secret_update_time")) == (MAIN, "", True)
        healthy = await connection_in_state(client, HEALTHY)
        assert healthy.server_version == "18.0+sandbox"
        assert healthy.etag == made.etag

        changed = await client.erp.UpdateConnection(
            erp_pb2.UpdateConnectionRequest(
                connection=Connection(name=MAIN, display_name="New", etag=made.etag, max_concurrency=3)
            )
        )
        assert (changed.display_name, changed.max_concurrency, changed.driver) == ("New", 3, "odoo-jsonrpc")
        assert changed.etag != made.etag
        with pytest.raises(Conflict) as stale:
            await client.erp.UpdateConnection(
                erp_pb2.UpdateConnectionRequest(connection=Connection(name=MAIN, display_name="x", etag=made.etag))
            )
        assert stale.value.reason == "ETAG_MISMATCH"
        cleared = await client.erp.UpdateConnection(
            erp_pb2.UpdateConnectionRequest(
                connection=Connection(name=MAIN), update_mask=FieldMask(paths=["display_name", "secret"])
            )
        )
        assert cleared.display_name == "main"
        await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN))

        await client.erp.DeleteConnection(erp_pb2.DeleteConnectionRequest(name=MAIN, etag=cleared.etag))
        with pytest.raises(NotFound):
            await get_connection(client)
        with pytest.raises(NotFound):
            await client.erp.DeleteConnection(erp_pb2.DeleteConnectionRequest(name=MAIN))
        await client.erp.DeleteConnection(erp_pb2.DeleteConnectionRequest(name=MAIN, allow_missing=True))


async def test_a_repeat_has_the_first_answer_and_one_effect(database: str, sandbox: SandboxProcess) -> None:
    request = erp_pb2.CreateConnectionRequest(
        connection_id="main",
        connection=Connection(driver="odoo-jsonrpc", url=sandbox.url, database="demo", username="admin", secret="a"),
        request_id=str(uuid.uuid4()),
    )
    async with gateway(database) as client:
        first, same = await asyncio.gather(client.erp.CreateConnection(request), client.erp.CreateConnection(request))
        assert first == same
    async with gateway(database) as client:
        assert await client.erp.CreateConnection(request) == first
        other = erp_pb2.CreateConnectionRequest(
            connection_id="other", connection=request.connection, request_id=request.request_id
        )
        with pytest.raises(Invalid) as reused:
            await client.erp.CreateConnection(other)
        assert reused.value.reason == "REQUEST_ID_REUSED"


async def test_names_are_unique_ignoring_case_and_found_by_their_own(sqlite: str, sandbox: SandboxProcess) -> None:
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url, "Main")
        with pytest.raises(AlreadyExists):
            await connect(client, sandbox.url, "main")
        with pytest.raises(NotFound):
            await get_connection(client, "connections/main")
        assert (await get_connection(client, "connections/Main")).name == "connections/Main"


@pytest.mark.parametrize(
    ("more", "kind", "reason"),
    [
        ({"driver": "sap"}, Invalid, "DRIVER_UNKNOWN"),
        ({"url": "http://erp.example.com"}, PermissionDenied, "ADDRESS_NOT_ALLOWED"),
        ({"url": ""}, Invalid, "FIELD_INVALID"),
        ({"skip_certificate_check": True}, Invalid, "FIELD_INVALID"),
        ({"max_concurrency": 1000}, Invalid, "FIELD_INVALID"),
    ],
)
async def test_wrong_settings_are_refused(
    sqlite: str, sandbox: SandboxProcess, more: dict[str, Any], kind: type[SutlerError], reason: str
) -> None:
    wanted = {"driver": "odoo-jsonrpc", "url": sandbox.url, **more}
    async with gateway(sqlite) as client:
        with pytest.raises(kind) as caught:
            await client.erp.CreateConnection(
                erp_pb2.CreateConnectionRequest(connection_id="main", connection=Connection(**wanted))
            )
        assert caught.value.reason == reason
        with pytest.raises(NotFound):
            await get_connection(client)


async def test_validate_only_changes_nothing(sqlite: str, sandbox: SandboxProcess) -> None:
    connection = Connection(driver="odoo-jsonrpc", url=sandbox.url, username="admin")
    async with gateway(sqlite) as client:
        would = await client.erp.CreateConnection(
            erp_pb2.CreateConnectionRequest(connection_id="main", connection=connection, validate_only=True)
        )
        assert (would.name, would.username) == (MAIN, "admin")
        with pytest.raises(NotFound):
            await get_connection(client)
        made = await client.erp.UpdateConnection(
            erp_pb2.UpdateConnectionRequest(connection=Connection(name=MAIN, **_fields(connection)), allow_missing=True)
        )
        await client.erp.DeleteConnection(erp_pb2.DeleteConnectionRequest(name=MAIN, validate_only=True))
        await client.erp.UpdateConnection(
            erp_pb2.UpdateConnectionRequest(connection=Connection(name=MAIN, username="x"), validate_only=True)
        )
        assert (await get_connection(client)).etag == made.etag


def _fields(message: erp_pb2.Connection) -> dict[str, Any]:
    return {field.name: value for field, value in message.ListFields()}


async def test_pages_filters_and_orders(database: str, sandbox: SandboxProcess) -> None:
    async with gateway(database) as client:
        for number in range(7):
            await connect(client, sandbox.url, f"c{number}", username=f"u{number % 2}", disabled=number == 6)
        seen: list[str] = []
        request = erp_pb2.ListConnectionsRequest(
            page_size=2, filter='username = "u0" OR disabled = true', order_by="create_time desc"
        )
        while True:
            page = await client.erp.ListConnections(request)
            assert len(page.connections) <= 2
            seen += [one.name for one in page.connections]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert seen == ["connections/c6", "connections/c4", "connections/c2", "connections/c0"]
        stopped = await client.erp.ListConnections(erp_pb2.ListConnectionsRequest(filter="state = STATE_STOPPED"))
        assert [one.name for one in stopped.connections] == ["connections/c6"]
        for wrong, reason in (
            (erp_pb2.ListConnectionsRequest(filter="colour = 1"), "FILTER_INVALID"),
            (erp_pb2.ListConnectionsRequest(order_by="colour"), "ORDER_BY_INVALID"),
            (erp_pb2.ListConnectionsRequest(page_token="x"), "PAGE_TOKEN_INVALID"),
        ):
            with pytest.raises(Invalid) as caught:
                await client.erp.ListConnections(wrong)
            assert caught.value.reason == reason


async def test_secrets_are_encrypted_at_rest(tmp_path: Path, sandbox: SandboxProcess) -> None:
    url = f"sqlite:///{tmp_path}/erp.db"
    async with gateway(url, secret_keys="") as client:
        await connect(client, sandbox.url, secret="tr0ub4dor-and-3")
        await connection_in_state(client, HEALTHY, UNHEALTHY)
    assert (tmp_path / "erp.key").stat().st_mode & 0o777 == 0o600
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("erp.db*"))
    assert b"tr0ub4dor" not in raw
    with sqlite3.connect(tmp_path / "erp.db") as store:
        assert "tr0ub4dor" not in str(store.execute("SELECT * FROM connections").fetchall())
    async with gateway(url, secret_keys=KEY) as client:
        with pytest.raises(FailedPrecondition) as caught:
            await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN))
        assert caught.value.reason == "SECRET_UNREADABLE"


async def test_a_check_tells_who_may_do_what(erp: Sutler) -> None:
    found = await erp.erp.CheckConnection(
        erp_pb2.CheckConnectionRequest(name=MAIN, models=["sale.order", "ir.model.data"])
    )
    assert (found.user.id, found.user.username, found.server_version) == (2, "admin", "18.0+sandbox")
    assert [(one.model, one.readable, one.writable) for one in found.rights] == [
        ("sale.order", True, True),
        ("ir.model.data", True, False),
    ]
    assert list(found.databases) == ["demo"]
    assert found.connection.state == HEALTHY
    assert found.latency.ToTimedelta().total_seconds() > 0


async def test_drivers_tell_what_they_can_do(erp: Sutler) -> None:
    found = await erp.erp.ListDrivers(erp_pb2.ListDriversRequest())
    assert [one.driver for one in found.drivers] == ["odoo-json2", "odoo-jsonrpc", "tryton"]
    assert erp_pb2.Driver.CAPABILITY_CREATE_KEYS in found.drivers[1].capabilities
