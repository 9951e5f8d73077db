"""Lets callers wait for the end of cascades."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

POLL_SECONDS = 0.5
"""How often to look for cascades that another process ended."""


class Endings:
    """Wakes those who wait for the cascades of events to end."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def tell(self, names: Iterable[str]) -> None:
        """Says that the cascades of these events have ended."""
        for name in names:
            for waiter in self._waiting.get(name, ()):
                waiter.set()

    async def wait(
        self,
        names: Collection[str],
        timeout: float,
        unfinished: Callable[[Sequence[str]], Awaitable[Sequence[str]]],
        stopping: Callable[[], bool],
    ) -> None:
        """Waits until the cascades of all these events have ended, or the time is over, or the server stops.

        Args:
            names: The events.
            timeout: Seconds.
            unfinished: Says which of some events have cascades that go on.
            stopping: Says whether the server stops.
        """
        ends = time.monotonic() + timeout
        woken = asyncio.Event()
        for name in names:
            self._waiting.setdefault(name, set()).add(woken)
        try:
            left = await unfinished(list(names))
            while left and time.monotonic() < ends and not stopping():
                woken.clear()
                try:
                    async with asyncio.timeout(min(POLL_SECONDS, max(0.0, ends - time.monotonic()))):
                        await woken.wait()
                except TimeoutError:
                    pass
                left = await unfinished(left)
        finally:
            for name in names:
                waiters = self._waiting[name]
                waiters.discard(woken)
                if not waiters:
                    del self._waiting[name]
