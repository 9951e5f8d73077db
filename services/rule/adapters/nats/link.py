"""The connection to NATS: made again whenever it breaks, and its absence told."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import structlog
from nats.aio.client import Client
from nats.errors import Error
from nats.js import JetStreamContext
from sutler.errors import Unavailable

log = structlog.get_logger("sutler.rule")

NAME = "sutler.rule"
CONNECT_SECONDS = 2
RECONNECT_SECONDS = 0.5
PING_SECONDS = 5
CHECK_SECONDS = 1.0
REQUEST_SECONDS = 5.0
REMEMBERED_SECONDS = 15.0
"""For how long a trouble is told that does not come again."""

NOTICE_SECONDS = 0.05
"""How long it takes at most until a break is noticed."""

RETRY_AFTER = timedelta(seconds=1)


class Link:
    """One connection for all of a process.

    Args:
        url: Where the servers are; several with commas in between.
        credentials: The file that says who we are; None if the URL does, or nobody asks.
        ca: The file with the authorities that vouch for the servers; those of the system if None.

    Raises:
        OSError: If the file of the authorities cannot be read, or holds none.
    """

    def __init__(self, url: str, credentials: Path | None = None, ca: Path | None = None) -> None:
        self._servers = [server.strip() for server in url.split(",")]
        self._credentials = credentials
        self._tls = ssl.create_default_context(cafile=ca) if ca else None
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._problem = "is not connected yet"
        self._troubles: dict[str, tuple[str, float]] = {}

    async def run(self) -> None:
        """Keeps the connection until cancelled."""
        while True:
            closed = asyncio.Event()
            client = Client()
            try:
                await self._connect(client, closed)
                self._client = client
                self._tell_up()
                await closed.wait()
            except (Error, OSError, TimeoutError, ValueError) as error:
                self._tell_down(error)
                await asyncio.sleep(RECONNECT_SECONDS)
            finally:
                self._client = None
                self._up.clear()
                await client.close()

    async def connected(self) -> JetStreamContext:
        """Returns JetStream as soon as there is a connection."""
        while True:
            await self._up.wait()
            if self._client is not None and self._client.is_connected:
                return self._client.jetstream(timeout=REQUEST_SECONDS)
            await asyncio.sleep(NOTICE_SECONDS)

    @property
    def client(self) -> Client:
        """The connection. Raises Unavailable if there is none now."""
        self.require()
        assert self._client is not None
        return self._client

    def require(self) -> None:
        """Makes sure that there is a connection.

        Raises:
            Unavailable: If there is none (DEPENDENCY_UNAVAILABLE).
        """
        if self._client is None or not self._client.is_connected:
            raise self._away(self._problem)

    async def check(self) -> None:
        """Makes sure that the server answers and that this process can do its work with it; for health.

        Raises:
            Unavailable: If not.
        """
        with self.translated():
            await self.client.flush(timeout=CHECK_SECONDS)  # type: ignore[arg-type]  # any number of seconds
        for name, (problem, when) in self._troubles.items():
            if time.monotonic() - when < REMEMBERED_SECONDS:
                raise self._away(f"{name}: {problem}")

    @contextmanager
    def telling(self, name: str) -> Iterator[None]:
        """Lets health tell why a work ended; what it does again and again without success is told all the time."""
        try:
            yield
        except Unavailable as error:
            self._troubles[name] = (str(error), time.monotonic())
            raise

    def well(self, name: str) -> None:
        """Says that a work goes on."""
        self._troubles.pop(name, None)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turns what the client library raises into Unavailable."""
        try:
            yield
        except (Error, OSError, TimeoutError) as error:
            raise self._away(str(error) or type(error).__name__) from error

    async def _connect(self, client: Client, closed: asyncio.Event) -> None:
        async def on_closed() -> None:
            closed.set()

        async def on_disconnected() -> None:
            self._tell_down("the connection is broken")

        async def on_reconnected() -> None:
            self._tell_up()

        async def on_error(error: Exception) -> None:
            self._tell_down(error) if not client.is_connected else log.warning("rule.nats_trouble", error=str(error))

        await client.connect(
            servers=self._servers,
            name=NAME,
            user_credentials=str(self._credentials) if self._credentials else None,
            tls=self._tls,
            connect_timeout=CONNECT_SECONDS,
            reconnect_time_wait=RECONNECT_SECONDS,  # type: ignore[arg-type]  # any number of seconds
            max_reconnect_attempts=-1,
            ping_interval=PING_SECONDS,
            closed_cb=on_closed,
            disconnected_cb=on_disconnected,
            reconnected_cb=on_reconnected,
            error_cb=on_error,
        )

    def _tell_up(self) -> None:
        self._problem = ""
        self._up.set()
        log.info("rule.nats_connected", servers=self._shown)

    def _tell_down(self, problem: Exception | str) -> None:
        text = str(problem) or type(problem).__name__
        self._up.clear()
        if text != self._problem:
            self._problem = text
            log.warning("rule.nats_away", servers=self._shown, error=text)

    def _away(self, problem: str) -> Unavailable:
        return Unavailable(
            f"NATS at {self._shown} cannot be used: {problem or 'it does not answer'}; try again when it is there",
            metadata={"dependency": "nats", "servers": self._shown},
            retry_after=RETRY_AFTER,
        )

    @property
    def _shown(self) -> str:
        """The servers, without what is secret in their URLs."""
        return ",".join(server.rpartition("@")[2].rpartition("://")[2] for server in self._servers)
