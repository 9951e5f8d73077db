"""Refuses more events while too much waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from sutler.errors import Exhausted

POLL_SECONDS = 0.5


class Backlog:
    """How many executions wait or run: counted now and then, and kept in between.

    Args:
        limit: How many there may be before events are refused.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._count = 0
        self._room = asyncio.Event()
        self._room.set()

    def add(self, begun: int) -> None:
        """Counts executions that were made."""
        self.recount(self._count + begun)

    def recount(self, count: int) -> None:
        """Says how many there really are."""
        self._count = count
        if count < self._limit:
            self._room.set()
        else:
            self._room.clear()

    async def below(self, stopping: Callable[[], bool]) -> None:
        """Waits until there is room for more events, or the server stops."""
        while not self._room.is_set() and not stopping():
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._room.wait()

    def check(self) -> None:
        """Refuses more events while there are too many.

        Raises:
            Exhausted: With a time after which to try again (OVERLOADED).
        """
        if not self._room.is_set():
            raise Exhausted(
                f"{self._count} executions wait or run and {self._limit} is the limit; publish again later",
                reason="OVERLOADED",
                metadata={"queue": "executions", "limit": str(self._limit)},
                retry_after=timedelta(seconds=1),
            )
