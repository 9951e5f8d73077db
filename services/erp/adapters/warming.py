"""Connections that are kept open while nobody asks, so that the next calls need not wait for new ones."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

KEEP_SECONDS = 60.0
"""For how long an idle connection is kept: less than common servers do, so that none closes as a call goes out."""

TOUCH_SECONDS = 40.0


class Warming:
    """Makes small calls at the same time, now and then, where the server leaves connections open.

    Args:
        wanted: How many connections to keep; none if 0.
        touch: Makes a small call, which may fail.
    """

    def __init__(self, wanted: int, touch: Callable[[], Awaitable[None]]) -> None:
        self._wanted = wanted
        self._touch = touch
        self._keeps = False
        self._task: asyncio.Task[None] | None = None

    def answered(self, *, keeps: bool) -> None:
        """Learns from each answer whether the server leaves its connection open."""
        self._keeps = keeps

    def begin(self) -> None:
        """Begins, unless it has begun or there is nothing to keep."""
        if self._wanted and self._keeps and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        """Stops."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._keeps:
            await asyncio.gather(*(self._touch() for _ in range(self._wanted)), return_exceptions=True)
            await asyncio.sleep(TOUCH_SECONDS)
