"""Servers in front of, or instead of, an ERP: one that plays answers, and a proxy that loses them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.integration.erp.asked import Call, receive

__all__ = ["Call", "Proxy", "Reply", "failure", "result", "serving"]

JSON = "application/json; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: a whole answer, the beginning of one, or nothing at all; ``drip`` seconds for each byte."""

    body: bytes = b""
    status: int = 200
    content_type: str = JSON
    cut: int | None = None
    silent: bool = False
    delay: float = 0.0
    drip: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()


def result(value: Any) -> Reply:
    return Reply(json.dumps({"jsonrpc": "2.0", "id": None, "result": value}).encode())


def failure(name: str, message: str, debug: str = "Traceback (most recent call last):\n  File /opt/odoo/x.py") -> Reply:
    data = {"name": name, "message": message, "arguments": [message], "debug": debug, "context": {}}
    return Reply(json.dumps({"jsonrpc": "2.0", "id": None, "error": {"code": 200, "data": data}}).encode())


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
            call = await receive(reader)
            reply = _numbered(await answer(call), call)
            await asyncio.sleep(reply.delay)
            if not reply.silent:
                await _send(writer, reply)
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


def _numbered(reply: Reply, call: Call) -> Reply:
    """Gives a result that has no number that of the call that it answers; errors may go without."""
    if not isinstance(call.number, int) or b'"id": null' not in reply.body or "error" in json.loads(reply.body):
        return reply
    return replace(reply, body=reply.body.replace(b'"id": null', b'"id": %d' % call.number, 1))


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> None:
    head = [
        f"HTTP/1.1 {reply.status} X",
        f"content-type: {reply.content_type}",
        f"content-length: {len(reply.body)}",
        "connection: close",
        *(f"{name}: {value}" for name, value in reply.headers),
        "",
        "",
    ]
    writer.write("\r\n".join(head).encode())
    for byte in reply.body if reply.drip else ():
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(reply.drip)
    if not reply.drip:
        writer.write(reply.body if reply.cut is None else reply.body[: reply.cut])
    await writer.drain()


@dataclass
class Proxy:
    """Passes calls of any protocol on to an ERP.

    The next calls of a method can be cut off before they reach it (``replace`` with silence) or after (``lose``), get
    another answer, wait, or get theirs drop by drop.
    """

    target: str
    calls: list[Call] = field(default_factory=list)
    losing: dict[str, list[Reply]] = field(default_factory=dict)
    instead: dict[str, list[Reply | None]] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    altered: dict[str, list[Callable[[Reply], Reply]]] = field(default_factory=dict)
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

    def alter(self, method: str, change: Callable[[Reply], Reply], times: int = 1) -> None:
        """The ERP's answers to the next calls are changed on their way."""
        self.altered.setdefault(method, []).extend([change] * times)

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
            reply = await self._pass_on(call)
        finally:
            self.open -= 1
        if seconds := self.delays.pop(call.method, 0.0):
            self.slowed += 1
            await asyncio.sleep(seconds)
        if self.altered.get(call.method):
            reply = self.altered[call.method].pop(0)(reply)
        return self.losing[call.method].pop(0) if self.losing.get(call.method) else reply

    async def _pass_on(self, call: Call) -> Reply:
        host, _, port = self.target.removeprefix("http://").partition(":")
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return Reply(silent=True)
        headers = call.headers | {"host": host, "connection": "close"}
        try:
            lines = [f"{call.verb} {call.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + call.body)
            await writer.drain()
            answer = await reader.read()
        finally:
            writer.close()
        return _understood(answer) if answer else Reply(silent=True)


def _understood(answer: bytes) -> Reply:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    passed = tuple(
        (name, headers[name]) for name in ("date", "www-authenticate", "content-encoding") if name in headers
    )
    body = _joined(body) if headers.get("transfer-encoding") == "chunked" else body
    return Reply(body, int(status.split(" ")[1]), headers.get("content-type", JSON), headers=passed)


def _joined(chunks: bytes) -> bytes:
    """Returns a body that came in chunks."""
    body = b""
    while chunks:
        size, _, chunks = chunks.partition(b"\r\n")
        length = int(size, 16)
        body, chunks = body + chunks[:length], chunks[length + 2 :] if length else b""
    return body
