"""Lets callers wait for the end of cascades."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

POLL_SECONDS = 0.5
"""How often to look for cascades that another process ended."""


@dataclass(slots=True, eq=False)
class _Waiter:
    """A caller who waits.

    Attributes:
        left: The events whose cascades go on, as far as is known.
        woken: Set when none is left.
    """

    left: set[str]
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class Endings:
    """Wakes those who wait for the cascades of events to end."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[_Waiter]] = {}

    def tell(self, names: Iterable[str]) -> None:
        """Says that the cascades of these events have ended."""
        for name in names:
            for waiter in self._waiting.get(name, ()):
                waiter.left.discard(name)
                if not waiter.left:
                    waiter.woken.set()

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
        waiter = _Waiter(set(names))
        for name in names:
            self._waiting.setdefault(name, set()).add(waiter)
        try:
            waiter.left.intersection_update(await unfinished(list(names)))
            while waiter.left and time.monotonic() < ends and not stopping():
                try:
                    async with asyncio.timeout(min(POLL_SECONDS, max(0.0, ends - time.monotonic()))):
                        await waiter.woken.wait()
                except TimeoutError:
                    waiter.left.intersection_update(await unfinished(list(waiter.left)))
        finally:
            for name in names:
                waiters = self._waiting[name]
                waiters.discard(waiter)
                if not waiters:
                    del self._waiting[name]
