"""Reads the output of machines, and follows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sutler.errors import FailedPrecondition, OutOfRange, Unavailable

from services.provider import declaring
from services.provider.machines import Machine
from services.provider.output import Chunk, Stream
from services.provider.ports import Kinds, Store

POLL_SECONDS = 0.1
ALIVE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which output is wanted.

    Attributes:
        tenant: Whose machine it is.
        machine: Its name.
        stream: Which of its outputs.
        offset: Where to begin; at the oldest byte that is kept if None, from the end if negative.
        limit: The most bytes; all if 0.
        follow: Whether to go on with what is written later.
    """

    tenant: str
    machine: str
    stream: Stream
    offset: int | None
    limit: int
    follow: bool


class Outputs:
    """Reads outputs.

    Args:
        store: What is stored.
        kinds: The types of provider.
        shutdown: Set when the service stops; reads that follow end with SHUTTING_DOWN then.
    """

    def __init__(self, store: Store, kinds: Kinds, shutdown: asyncio.Event) -> None:
        self._store = store
        self._kinds = kinds
        self._shutdown = shutdown

    async def read(self, wanted: Wanted) -> AsyncIterator[Chunk]:
        """Yields output in order; with ``follow`` an empty chunk at least every 5 s.

        Raises:
            NotFound: If there is no such machine.
            FailedPrecondition: If its output cannot be read here (OUTPUT_UNAVAILABLE).
            OutOfRange: If the offset is not kept, or after the end (OUTPUT_DISCARDED).
        """
        offset, left = wanted.offset, wanted.limit
        loop = asyncio.get_running_loop()
        told_at = loop.time()
        while True:
            machine = await self._machine(wanted)
            async for chunk in self._there(machine, wanted, offset, left):
                yield chunk
                offset, told_at = chunk.offset + len(chunk.data), loop.time()
                if wanted.limit:
                    left -= len(chunk.data)
                    if left <= 0:
                        return
            if not wanted.follow or machine.state.ended:
                return
            if self._shutdown.is_set():
                raise Unavailable("the service is stopping; go on from the last offset", reason="SHUTTING_DOWN")
            if loop.time() - told_at >= ALIVE_SECONDS:
                yield Chunk(b"", offset or 0)
                told_at = loop.time()
            await asyncio.sleep(POLL_SECONDS)

    async def _there(self, machine: Machine, wanted: Wanted, offset: int | None, left: int) -> AsyncIterator[Chunk]:
        """Yields what is there now; where bytes were discarded while they were followed, it goes on after them."""
        kind = self._kinds.get(machine.type)
        if kind is None:
            raise FailedPrecondition(
                f"the output of {machine.name} is not captured",
                reason="OUTPUT_UNAVAILABLE",
                metadata={"machine": machine.name},
                resource=machine.name,
            )
        begun = offset != wanted.offset
        try:
            async for chunk in kind.read_output(machine, wanted.stream, offset, left):
                yield chunk
        except OutOfRange as error:
            if not begun or int(error.metadata["oldest"]) <= (offset or 0):
                raise
            async for chunk in kind.read_output(machine, wanted.stream, None, left):
                yield chunk

    async def _machine(self, wanted: Wanted) -> Machine:
        return await self._store.read(lambda book: declaring.get(book.machines, wanted.tenant, wanted.machine))
