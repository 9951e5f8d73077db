"""The state of a connection follows its logins, also those that calls make."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import FailedPrecondition, Unavailable
from sutler.testing import postgresql_schema

from services.erp.adapters import logins
from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import MAIN, connect, connection_in_state, gateway

HEALTHY, UNHEALTHY = erp_pb2.Connection.STATE_HEALTHY, erp_pb2.Connection.STATE_UNHEALTHY
DEGRADED = erp_pb2.Connection.STATE_DEGRADED


@pytest.fixture
def changing() -> Iterator[SandboxProcess]:
    """A sandbox whose passwords change."""
    with started("--json2") as process:
        yield process


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "REFUSED_SECONDS", 0.5)


def set_password(sandbox: SandboxProcess, password: str) -> None:
    [demo] = sandbox.call("res.users", "search", [["login", "=", "demo"]])
    sandbox.call("res.users", "write", [demo], {"password": password})


async def read(client: Sutler, model: str = "res.partner") -> None:
    await client.erp.GetRecord(erp_pb2.GetRecordRequest(connection=MAIN, model=model, id=1))


async def refused(client: Sutler) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        await read(client)
    assert caught.value.reason == "LOGIN_REFUSED"


@pytest.mark.parametrize("driver", ["odoo-jsonrpc", "odoo-json2"])
async def test_a_password_that_changes_is_told_and_recovers(sqlite: str, driver: str, changing: SandboxProcess) -> None:
    async with gateway(sqlite) as client:
        await connect(client, changing.url, driver=driver, username="demo", secret="demo", max_login_rate=60)
        await connection_in_state(client, HEALTHY)
        await read(client)
        for password, again in (("other", "demo"), ("another", "demo")):
            set_password(changing, password)
            await refused(client)
            told = await connection_in_state(client, UNHEALTHY)
            assert "refuses the user 'demo'" in told.state_reason
            set_password(changing, again)
            await connection_in_state(client, HEALTHY)
            await read(client)


async def test_an_erp_that_is_down_is_not_taken_for_healthy(sqlite: str, changing: SandboxProcess) -> None:
    async with gateway(sqlite) as client:
        await connect(client, changing.url, username="demo", secret="demo")
        await connection_in_state(client, HEALTHY)
        await read(client)
        changing.stop()
        with pytest.raises(Unavailable):
            await read(client, "res.country")
        await connection_in_state(client, DEGRADED, UNHEALTHY)
        for _ in range(15):
            await asyncio.sleep(0.2)  # the keeper's own checks come every second
            told = await client.erp.GetConnection(erp_pb2.GetConnectionRequest(name=MAIN))
            assert told.state in (DEGRADED, UNHEALTHY)
            assert told.state_reason


async def test_a_refused_mapping_says_nothing_of_the_connection(sqlite: str, sandbox: SandboxProcess) -> None:
    async with gateway(sqlite) as client:
        wrong = erp_pb2.UserMapping(caller="*", username="demo", secret="wrong")
        await connect(client, sandbox.url, user_mappings=[wrong])
        await connection_in_state(client, HEALTHY)
        await refused(client)
        assert (await connection_in_state(client, HEALTHY, UNHEALTHY)).state == HEALTHY


async def test_another_process_finds_that_it_works_again(changing: SandboxProcess) -> None:
    with postgresql_schema() as data:
        async with gateway(data) as first, gateway(data) as second:
            await connect(first, changing.url, username="demo", secret="demo", max_login_rate=60)
            await connection_in_state(first, HEALTHY)
            for client in (second, first, second):
                set_password(changing, "other")
                await refused(client)
                await connection_in_state(client, UNHEALTHY)
                set_password(changing, "demo")
                await connection_in_state(client, HEALTHY)
