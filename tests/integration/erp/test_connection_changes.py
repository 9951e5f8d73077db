"""Connections that are changed while they are used: where secrets go, and what is under way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from sutler.certs import write_certificates
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Conflict, FailedPrecondition
from sutler.testing import wait_until
from sutler.wire import to_struct

from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import MAIN, connect, gateway, get_connection
from tests.integration.erp.imports import CREATED, Stream, chunk, new_import_id, opening, partners
from tests.integration.erp.servers import Proxy, Reply
from tests.integration.erp.transactions import State, create, get, refused, request, states, update

Connection = erp_pb2.Connection


async def change(client: Sutler, **settings: object) -> Connection:
    connection = Connection(name=MAIN, **settings)  # type: ignore[arg-type]
    return await client.erp.UpdateConnection(erp_pb2.UpdateConnectionRequest(connection=connection))


async def check(client: Sutler) -> erp_pb2.CheckConnectionResponse:
    return await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN))


async def test_secrets_do_not_follow_to_another_address(erp: Sutler, proxy: tuple[Proxy, str]) -> None:
    server, url = proxy
    anna = erp_pb2.UserMapping(caller="anna", username="demo", secret="demo-secret")
    await change(erp, user_mappings=[anna], secret="admin")
    kept = await change(erp, display_name="The shop", timeout={"seconds": 20})
    assert kept.HasField("secret_update_time") and kept.user_mappings[0].HasField("secret_update_time")

    moved = await change(erp, url=url)
    assert not moved.HasField("secret_update_time")
    assert not moved.user_mappings[0].HasField("secret_update_time")
    with pytest.raises(FailedPrecondition) as caught:
        await check(erp)
    assert caught.value.reason == "LOGIN_REFUSED"
    logins = [call.body for call in server.calls if call.method == "authenticate"]
    assert logins and not any(b'"admin","admin"' in body for body in logins)

    given = await change(erp, secret="admin")
    assert given.HasField("secret_update_time")
    await check(erp)


@pytest.mark.parametrize(
    "settings",
    [{"driver": "tryton"}, {"database": "other"}, {"ca_certificates": "ca.pem"}, {"skip_certificate_check": True}],
    ids=lambda settings: next(iter(settings)),
)
async def test_what_leads_to_another_server_drops_secrets(
    sqlite: str, sandbox: SandboxProcess, tmp_path: Path, settings: dict[str, object]
) -> None:
    if "ca_certificates" in settings:
        settings = {"ca_certificates": write_certificates(tmp_path, ["localhost"]).ca.read_text()}
    async with gateway(sqlite, allow_skip_certificate_check=True) as client:
        await connect(client, sandbox.url)
        request = erp_pb2.UpdateConnectionRequest(connection=Connection(name=MAIN, **settings), validate_only=True)  # type: ignore[arg-type]
        assert not (await client.erp.UpdateConnection(request)).HasField("secret_update_time")
        request.connection.secret = "new"
        assert (await client.erp.UpdateConnection(request)).HasField("secret_update_time")
        assert (await get_connection(client)).HasField("secret_update_time")


async def test_a_connection_stays_where_it_is_while_a_transaction_writes(lossy: tuple[Sutler, Proxy]) -> None:
    client, server = lossy
    server.slow("load", 0.5)
    begun = await client.erp.RunTransaction(request(create({"name": "slowly"}), detached=True))
    for elsewhere in ({"url": "http://127.0.0.1:9"}, {"database": "other"}, {"driver": "tryton"}):
        with pytest.raises(Conflict) as caught:
            await change(client, secret="admin", **elsewhere)
        assert (caught.value.reason, caught.value.metadata["operation"]) == ("OPERATION_IN_PROGRESS", begun.name)
    await change(client, display_name="The shop")

    async def ended() -> bool:
        return (await get(client, begun.name)).state == State.STATE_SUCCEEDED

    await wait_until(ended)
    await change(client, secret="admin", database="other")


def asked(sandbox: SandboxProcess) -> dict[str, int]:
    """How often each method was called."""
    return dict(httpx.get(f"{sandbox.url}/sandbox/calls").json())


MADE = "${steps.made.id}"


@pytest.mark.parametrize(
    ("method", "steps", "expected"),
    [
        pytest.param(
            "write", [update(MADE, {"ref": "x"}), update(MADE, {"ref": "y"})],
            (State.STATE_OUTCOME_UNKNOWN, ["SUCCEEDED", "OUTCOME_UNKNOWN", "SKIPPED"]), id="forward",
        ),
        pytest.param("unlink", [refused()], (State.STATE_UNDO_FAILED, ["UNDO_FAILED", "FAILED"]), id="back"),
    ],
)  # fmt: skip
async def test_a_transaction_does_not_go_on_in_another_database(
    method: str, steps: list[Any], expected: tuple[int, list[str]], lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    with started() as other:
        server.replace(method, Reply(silent=True), times=1000)
        begun = await client.erp.RunTransaction(
            request(create({"name": "made"}, step_id="made"), *steps, detached=True)
        )
        await wait_until(lambda: server.count(method) > 0)
        await change(client, disabled=True)
        await change(client, secret="admin", url=other.url)

        async def ended() -> erp_pb2.Transaction | None:
            found = await get(client, begun.name)
            return found if found.HasField("end_time") else None

        found = await wait_until(ended, 20)
        assert found is not None
        assert (found.state, states(found)) == expected
        assert not {"load", "write", "unlink"} & asked(other).keys()
        [made] = sandbox.call("res.partner", "read", [found.steps[0].record_id], ["name"])
        assert made["name"] == "made"


async def change_and_use(client: Sutler, **settings: object) -> None:
    """Changes a connection and makes a call with the new settings."""
    await change(client, **settings)
    await client.erp.GetRecord(erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=1))


async def test_an_import_goes_on_after_a_change(erp: Sutler) -> None:
    async with Stream(erp, opening(new_import_id(), mode=erp_pb2.Import.MODE_CREATE)) as stream:
        await stream.answer()
        for first in range(3):
            [result] = (await stream.send(chunk(first, partners("going on", first, 1)))).results
            assert result.outcome == CREATED
            await change_and_use(erp, display_name=f"The shop {first}")
            await asyncio.sleep(0.6)  # time to close what nobody uses


async def test_a_write_that_waits_for_its_turn_is_made_after_a_change(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    [one] = sandbox.call("res.partner", "create", [{"name": "changed by two"}])
    server.slow("write", 1.2)

    async def write(ref: str) -> None:
        values = to_struct({"ref": ref})
        await client.erp.UpdateRecord(
            erp_pb2.UpdateRecordRequest(connection=MAIN, model="res.partner", id=one, values=values)
        )

    first = asyncio.create_task(write("first"))
    await wait_until(lambda: server.slowed > 0)
    second = asyncio.create_task(write("second"))
    await asyncio.sleep(0.1)  # so that it waits
    await change_and_use(client, display_name="The shop")
    await asyncio.gather(first, second)
    assert sandbox.call("res.partner", "read", [one], ["ref"])[0]["ref"] == "second"
