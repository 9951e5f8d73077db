"""Hands out work: each message of an accepted event goes to one process that has room, which takes its executions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

import structlog
from nats.aio.msg import Msg
from sutler.errors import SutlerError

from services.rule.adapters.nats.link import Link
from services.rule.adapters.nats.pulling import Pull, pulling
from services.rule.adapters.nats.stream import EVENT, EXECUTIONS, WORKERS, Place
from services.rule.executions import Job
from services.rule.outcomes import Aftermath

log = structlog.get_logger("sutler.rule")

BATCH = 20
"""How many messages one process asks for at once: few, so that others get some too."""

TROUBLE_SECONDS = 0.5
AGAIN_SECONDS = 0.2
"""When a message is handed out again that had more executions than there was room."""


class Takes(Protocol):
    """Gives executions to a process."""

    async def take(self, holder: int, events: Sequence[str], limit: int) -> Sequence[Job]:
        """Takes executions of events that may begin and that nobody holds."""
        ...


class Roomy(Protocol):
    """Works on executions."""

    holder: int

    @property
    def room(self) -> int:
        """How many more executions this process may take."""
        ...

    async def has_room(self) -> None:
        """Returns when it may take one."""
        ...

    def follow(self, aftermath: Aftermath) -> None:
        """Begins what follows."""
        ...


class Hands:
    """Takes work from the stream, in every process.

    A message is done with when the claim is committed: from then on the record in the database decides who works on
    the execution. If the process dies before that, the message goes to another one.

    Args:
        link: The connection.
        place: Where events are.
        takes: Gives executions to this process.
        engine: Works on them.
    """

    def __init__(self, link: Link, place: Place, takes: Takes, engine: Roomy) -> None:
        self._link = link
        self._place = place
        self._takes = takes
        self._engine = engine

    async def run(self) -> None:
        """Takes until cancelled."""
        while True:
            try:
                await self._serve()
            except SutlerError as error:
                log.warning("rule.nats_trouble", error=str(error))
                await asyncio.sleep(TROUBLE_SECONDS)

    async def _serve(self) -> None:
        js = await self._link.connected()
        with self._link.translated():
            await self._place.open_workers(js)
        async with pulling(self._link, self._place.stream, WORKERS) as pull:
            while True:
                await self._engine.has_room()
                await self._hand(pull)

    async def _hand(self, pull: Pull) -> None:
        messages = await pull.next(min(BATCH, max(1, self._engine.room)))
        idle = [message for message in messages if (message.headers or {}).get(EXECUTIONS) == "0"]
        for message in idle:
            await self._done(message)
        busy = [message for message in messages if message not in idle]
        if busy:
            await self._take(busy)

    async def _take(self, messages: Sequence[Msg]) -> None:
        holder, room = self._engine.holder, self._engine.room
        names = [(message.headers or {}).get(EVENT, "") for message in messages]
        jobs = await self._takes.take(holder, names, room) if room else ()
        self._engine.follow(Aftermath(tuple(jobs)))
        for message in messages:
            await self._done(message, again=len(jobs) >= room)

    async def _done(self, message: Msg, *, again: bool = False) -> None:
        with self._link.translated():
            await (message.nak(AGAIN_SECONDS) if again else message.ack())
