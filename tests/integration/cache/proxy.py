"""A TCP forwarder that loses, delays and cuts, as a network can."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from urllib.parse import urlsplit


class Proxy:
    """Forwards connections to the server of a URL, from an event loop.

    Attributes:
        lost: How many of the next answers are swallowed, with their connections.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._path = parts.path
        self._server: asyncio.Server | None = None
        self._port = 0
        self._ends: set[asyncio.StreamWriter] = set()
        self._hold = False
        self._held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]] = []
        self.lost = 0

    @property
    def url(self) -> str:
        """Where the server is reached through the proxy."""
        return f"redis://127.0.0.1:{self._port}{self._path}"

    async def start(self) -> None:
        """Listens, on the same port as before."""
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Closes all connections and refuses new ones."""
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.transport.abort()

    def hold(self) -> None:
        """Keeps the next request back; it goes on at :meth:`release`, also if its client has gone meanwhile."""
        self._hold = True

    @property
    def holds(self) -> bool:
        """Whether a request is kept back."""
        return bool(self._held)

    async def release(self) -> Sequence[bytes]:
        """Sends what was kept back to the server, and returns what it says to that."""
        answers = []
        for reader, writer, data in self._held:
            writer.write(data)
            answers.append(await reader.read(65536))
            writer.close()
        self._held.clear()
        return answers

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_connection(*self._target)
        self._ends |= {writer, to_writer}
        with suppress(ConnectionError):
            await asyncio.gather(self._requests(reader, to_writer), self._answers(to_reader, writer))

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self._hold:
                self._hold = False
                self._held.append((*await asyncio.open_connection(*self._target), data))
                await reader.read()
                break
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if self.lost:
                self.lost -= 1
                break
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
