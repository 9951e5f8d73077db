"""The HTTP side of a driver: what is bounded, what counts as never asked, and which connections stay open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sutler.errors import SutlerError
from sutler.testing import wait_until

from services.erp.adapters import http
from services.erp.adapters.odoo.driver import OdooDriver
from services.erp.adapters.odoo.jsonrpc import odoo_jsonrpc
from services.erp.connections import Connection, ConnectionSpec, ErpContext
from services.erp.gate import Gate
from services.erp.users import Ask
from tests.conformance.sandbox.processes import started

ASK = Ask("admin", "admin", ErpContext())
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[str]:
    """A server that does with each connection what a test says, and its host and port."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def driving(url: str, **more: Any) -> AsyncIterator[tuple[OdooDriver, Gate]]:
    spec = ConnectionSpec(driver="odoo-jsonrpc", url=url, database="demo", **more)
    made = Connection(tenant="default", id="main", uid="u", spec=spec)
    gate = Gate(made.name, made.spec, lambda error, breaker_open: None)
    driver = odoo_jsonrpc(made, gate)
    try:
        yield driver, gate
    finally:
        await driver.close()


async def test_an_answer_that_drips_ends_with_the_timeout() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with listening(drip) as address, driving(f"http://{address}", timeout=0.4) as (driver, _):
        began = time.monotonic()
        with pytest.raises(SutlerError) as caught:
            await driver.version()
        assert caught.value.reason == "ERP_TIMEOUT"
        assert 0.3 < time.monotonic() - began < 3


async def test_an_answer_that_never_ends_is_cut_off_and_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 100_000)
    sent, asked = 0, 0

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent, asked
        asked += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD)
        while True:
            writer.write(b" " * 10_000)
            await writer.drain()
            sent += 10_000

    async with listening(pour) as address, driving(f"http://{address}") as (driver, _gate):
        with pytest.raises(SutlerError) as caught:
            await driver.rights(ASK, "res.partner")
        assert caught.value.reason == "TOO_LARGE"
        assert asked == 1
        assert sent < 50_000_000


async def test_what_was_never_sent_is_told_apart_from_what_was() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(silence) as address:
        for url, reason in (
            (f"https://{address}", "DEPENDENCY_UNAVAILABLE"),  # TLS is never agreed upon
            (f"http://{address}", "ERP_TIMEOUT"),
        ):
            async with driving(url, timeout=0.3) as (driver, _):
                with pytest.raises(SutlerError) as caught:
                    await driver.version()
                assert caught.value.reason == reason


@pytest.mark.parametrize("wanted", [3, 0])
async def test_connections_are_opened_before_they_are_needed(wanted: int) -> None:
    opened = 0
    with started("--keep-alive") as sandbox:
        host, _, port = sandbox.url.removeprefix("http://").partition(":")

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal opened
            opened += 1
            there, back = await asyncio.open_connection(host, int(port))
            ways = [asyncio.create_task(_copy(reader, back)), asyncio.create_task(_copy(there, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            back.close()

        async def warm() -> bool:
            return opened == max(wanted, 1)

        async with (
            listening(pass_on) as address,
            driving(f"http://{address}", min_idle_connections=wanted) as (driver, gate),
        ):
            await driver.log_in(ASK)
            await wait_until(warm, 5)
            await gate.idle()
            await asyncio.gather(*(driver.version() for _ in range(3)))
            assert opened == 3


async def test_each_erp_is_touched_at_a_path_of_its_own() -> None:
    asked: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            asked.append(head.partition(b"\r\n")[0])
            writer.write(HEAD.replace(b"\r\n\r\n", b"\r\ncontent-length: 2\r\n\r\n{}"))
            await writer.drain()

    async def touched() -> bool:
        return len(asked) > 1

    async with listening(note) as address, driving(f"http://{address}") as (_, gate):
        made = Connection(tenant="default", id="main", uid="u", spec=ConnectionSpec(url=f"http://{address}"))
        exchanges = http.Http(made, gate, "/alive")
        try:
            async with exchanges.turn() as turn:
                await exchanges.get(turn, "/first")
            exchanges.warm()
            await wait_until(touched, 5)
        finally:
            await exchanges.close()
    assert asked == [b"GET /first HTTP/1.1", b"GET /alive HTTP/1.1"]


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65_536):
        target.write(data)
        await target.drain()
