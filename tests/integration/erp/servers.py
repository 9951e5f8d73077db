"""Servers in front of, or instead of, an ERP: one that plays answers, and a proxy that loses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: a whole answer, the beginning of one, or nothing at all."""

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
    cut: int | None = None
    silent: bool = False
    delay: float = 0.0


def result(value: Any) -> Reply:
    return Reply(json.dumps({"jsonrpc": "2.0", "id": None, "result": value}).encode())


def failure(name: str, message: str, debug: str = "Traceback (most recent call last):\n  File /opt/odoo/x.py") -> Reply:
    data = {"name": name, "message": message, "arguments": [message], "debug": debug, "context": {}}
    return Reply(json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": 200, "data": data}}).encode())


@dataclass(slots=True)
class Call:
    """A JSON-RPC call as it came in."""

    body: bytes
    service: str = ""
    method: str = ""
    model: str = ""
    args: list[Any] = field(default_factory=list)
    named: dict[str, Any] = field(default_factory=dict)


Answer = Callable[[Call], Awaitable[Reply]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """Serves HTTP on a free port, one request for each connection, and yields the address."""
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.lower().split(b"\r\n")
            length = next((int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length")), 0)
            reply = await answer(parse(await reader.readexactly(length)))
            if reply.delay:
                await asyncio.sleep(reply.delay)
            if not reply.silent:
                body = reply.body
                answered = [
                    f"HTTP/1.1 {reply.status} X",
                    f"content-type: {reply.content_type}",
                    f"content-length: {len(body)}",
                    "connection: close",
                    "",
                    "",
                ]
                writer.write("\r\n".join(answered).encode() + (body if reply.cut is None else body[: reply.cut]))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def parse(body: bytes) -> Call:
    call = Call(body)
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        params = json.loads(body)["params"]
        call.service, call.method = params["service"], params["method"]
        if call.method == "execute_kw":
            _, _, _, call.model, call.method, call.args, *more = params["args"]
            call.named = more[0] if more else {}
        else:
            call.args = params["args"]
    return call


@dataclass
class Proxy:
    """Passes calls on to an ERP; the next calls of a method can lose their answers."""

    target: str
    calls: list[Call] = field(default_factory=list)
    losing: dict[str, list[Reply]] = field(default_factory=dict)
    instead: dict[str, list[Reply | None]] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    slowed: int = 0
    open: int = 0
    most: int = 0

    def lose(self, method: str, times: int = 1, reply: Reply | None = None) -> None:
        """The ERP does what the next calls ask, and its answers are lost."""
        self.losing.setdefault(method, []).extend([reply or Reply(silent=True)] * times)

    def replace(self, method: str, reply: Reply, times: int = 1, *, after: int = 0) -> None:
        """The ERP is not asked by the next calls, or by those after a few more; they get this."""
        self.instead.setdefault(method, []).extend([*[None] * after, *[reply] * times])

    def slow(self, method: str, seconds: float) -> None:
        """The answer to the next call of a method waits, after the ERP gave it."""
        self.delays[method] = seconds

    def count(self, method: str) -> int:
        return sum(call.method == method for call in self.calls)

    async def answer(self, call: Call) -> Reply:
        self.calls.append(call)
        instead = self.instead[call.method].pop(0) if self.instead.get(call.method) else None
        if instead is not None:
            return instead
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            reply = await self._pass_on(call.body)
        finally:
            self.open -= 1
        if seconds := self.delays.pop(call.method, 0.0):
            self.slowed += 1
            await asyncio.sleep(seconds)
        return self.losing[call.method].pop(0) if self.losing.get(call.method) else reply

    async def _pass_on(self, body: bytes) -> Reply:
        host, _, port = self.target.removeprefix("http://").partition(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return Reply(silent=True)
        try:
            head = (
                f"POST /jsonrpc HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
        return Reply(answer.partition(b"\r\n\r\n")[2]) if answer else Reply(silent=True)
