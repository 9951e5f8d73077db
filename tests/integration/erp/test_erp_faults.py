"""An ERP that refuses, fails, is slow or is down: what callers are told, and what is not asked again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sutler.erp.v1 import erp_pb2
from sutler.errors import (
    Exhausted,
    FailedPrecondition,
    NotFound,
    SutlerError,
    Unavailable,
)
from sutler.testing import free_port, wait_until
from sutler.wire import duration

from services.erp import keeping
from tests.integration.erp.conftest import MAIN, connect, connection_in_state, gateway
from tests.integration.erp.servers import Call, Proxy, Reply, failure, result, serving

Connection = erp_pb2.Connection
HEALTHY, UNHEALTHY = Connection.STATE_HEALTHY, Connection.STATE_UNHEALTHY


async def test_a_refused_login_is_told_remembered_and_limited(sqlite: str, proxy: tuple[Proxy, str]) -> None:
    lossy, url = proxy
    async with gateway(sqlite) as client:
        await connect(client, url, secret="wrong", max_login_rate=2)
        found = await connection_in_state(client, UNHEALTHY)
        assert found.state_reason
        read = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10)
        for _ in range(3):
            with pytest.raises(FailedPrecondition) as caught:
                await client.erp.GetRecord(read)
            assert caught.value.reason == "LOGIN_REFUSED"
        assert lossy.count("authenticate") == 1
        with pytest.raises(FailedPrecondition):
            await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN))
        with pytest.raises(Exhausted) as limited:
            await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN))
        assert limited.value.reason == "LOGIN_LIMITED"
        assert limited.value.retry_after is not None
        assert lossy.count("authenticate") == 2

        await client.erp.UpdateConnection(
            erp_pb2.UpdateConnectionRequest(connection=Connection(name=MAIN, secret="admin"))
        )
        await connection_in_state(client, HEALTHY)
        assert (await client.erp.GetRecord(read)).display_name == "Alder Hosting"


async def test_the_login_is_remembered_and_made_once(
    sqlite: str, proxy: tuple[Proxy, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "EVERY_SECONDS", 3600.0)  # its checks log in too
    lossy, url = proxy
    async with gateway(sqlite) as client:
        await connect(client, url, coalesce_window=duration(0))
        read = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10)
        await asyncio.gather(*(client.erp.GetRecord(read) for _ in range(10)))
        await client.erp.GetRecord(read)
        assert lossy.count("authenticate") == 1


async def test_a_password_that_changes_meanwhile_is_tried_once_more(sqlite: str, proxy: tuple[Proxy, str]) -> None:
    lossy, url = proxy
    async with gateway(sqlite) as client:
        await connect(client, url)
        read = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10)
        await client.erp.GetRecord(read)
        lossy.replace("read", failure("odoo.exceptions.AccessDenied", "Access Denied"))
        assert (await client.erp.GetRecord(read)).id == 10
        assert lossy.count("authenticate") == 2


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(b"<html>Bad Gateway</html>", 502, "text/html"), "ERP_ANSWER_INVALID"),
        (Reply(b"<html>hello</html>", 200, "text/html"), "ERP_ANSWER_INVALID"),
        (Reply(b'{"jsonrpc": "2.0", "id": null, "result": [{"id"', 200, cut=30), "ERP_ANSWER_INVALID"),
        (Reply(b'{"jsonrpc": "2.0", "id": 99999, "result": []}'), "ERP_ANSWER_INVALID"),
        (Reply(b'{"jsonrpc": "2.0", "id": null}'), "ERP_ANSWER_INVALID"),
        (Reply(b"[]"), "ERP_ANSWER_INVALID"),
        (Reply(silent=True), "ERP_ANSWER_INVALID"),
        (Reply(delay=30), "ERP_TIMEOUT"),
        (failure("psycopg2.OperationalError", 'could not connect to "10.0.0.5"'), "DEPENDENCY_UNAVAILABLE"),
        (failure("psycopg2.OperationalError", 'FATAL:  database "x" does not exist'), "DATABASE_NOT_FOUND"),
        (failure("builtins.ZeroDivisionError", "division by zero"), "ERP_FAILED"),
    ],
)
async def test_an_erp_that_fails_is_never_not_found(sqlite: str, reply: Reply, reason: str) -> None:
    async def answer(call: Call) -> Reply:
        if call.method in ("version", "authenticate", "fields_get"):
            told: dict[str, Any] = {"version": {"server_version": "18.0"}, "authenticate": 2}
            return result(told.get(call.method, {"name": {"type": "char"}, "display_name": {"type": "char"}}))
        return reply

    async with serving(answer) as url, gateway(sqlite) as client:
        once = erp_pb2.RetryPolicy(max_attempts=1)
        await connect(client, url, timeout=duration(2), retry_policy=once)
        with pytest.raises(SutlerError) as caught:
            await client.erp.GetRecord(erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10))
        error = caught.value
        assert error.reason == reason
        assert not isinstance(error, NotFound)
        assert isinstance(error, Unavailable) == (reason not in ("DATABASE_NOT_FOUND", "ERP_FAILED"))
        assert "Traceback" not in error.message + str(error.metadata)
        assert "10.0.0.5" not in error.message + str(error.metadata)
        assert (error.retry_after is not None) == isinstance(error, Unavailable)


async def test_an_erp_that_is_down_is_unavailable_and_found_again(sqlite: str, tmp_path: Path) -> None:
    port = free_port()
    async with gateway(sqlite) as client:
        policy = erp_pb2.BreakerPolicy(failure_limit=3, open_duration=duration(60))
        await connect(
            client,
            f"http://127.0.0.1:{port}",
            breaker_policy=policy,
            retry_policy=erp_pb2.RetryPolicy(max_attempts=1),
        )
        read = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10)
        reasons = set()
        for _ in range(6):
            with pytest.raises(Unavailable) as caught:
                await client.erp.GetRecord(read)
            reasons.add(caught.value.reason)
        assert reasons == {"DEPENDENCY_UNAVAILABLE", "BREAKER_OPEN"}
        await connection_in_state(client, UNHEALTHY)
        # A good check, here the one that goes on in the background, does not wait for the breaker.
        with _sandbox_on(port):

            async def checked() -> bool:
                try:
                    await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN))
                except Unavailable:
                    return False
                return True

            await wait_until(checked, 20)
            assert (await client.erp.GetRecord(read)).id == 10


@contextmanager
def _sandbox_on(port: int) -> Iterator[None]:
    command = [sys.executable, "-m", "services.erp.sandbox", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def test_calls_are_bounded_and_the_wait_for_a_turn_is_told(sqlite: str) -> None:
    open_calls = most = 0

    async def answer(call: Call) -> Reply:
        nonlocal open_calls, most
        if call.method != "read":
            told: dict[str, Any] = {"version": {"server_version": "18.0"}, "authenticate": 2}
            return result(told.get(call.method, {"display_name": {"type": "char"}}))
        open_calls += 1
        most = max(most, open_calls)
        await asyncio.sleep(0.3)
        open_calls -= 1
        return result([{"id": one, "display_name": "x"} for one in call.args[0]])

    async with serving(answer) as url, gateway(sqlite) as client:
        await connect(client, url, max_concurrency=2, max_queue_wait=duration(0.1), coalesce_window=duration(0))
        await client.erp.GetRecord(erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=99))
        reads = [
            client.erp.GetRecord(erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=one))
            for one in range(1, 9)
        ]
        told = await asyncio.gather(*reads, return_exceptions=True)
        assert most == 2
        assert {one.reason for one in told if isinstance(one, SutlerError)} == {"OVERLOADED"}
        assert sum(isinstance(one, erp_pb2.Record) for one in told) >= 2
