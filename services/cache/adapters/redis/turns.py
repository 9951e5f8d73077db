"""Numbers for commits, by which Redis tells a repeat from a new one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """Some slots, each of which makes one commit at a time, and gives it a number higher than the last.

    Args:
        slots: How many.
    """

    def __init__(self, slots: int) -> None:
        self._last = [0] * slots
        self._free: asyncio.LifoQueue[int] = asyncio.LifoQueue()
        for slot in range(slots):
            self._free.put_nowait(slot)

    @asynccontextmanager
    async def next(self) -> AsyncIterator[tuple[int, int]]:
        """Waits for a free slot and yields it with its next number."""
        slot = await self._free.get()
        self._last[slot] += 1
        try:
            yield slot, self._last[slot]
        finally:
            self._free.put_nowait(slot)
