"""A cache for what handlers look up: right with many callers at once, and with a value that is None or empty."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

At = tuple[Hashable, Hashable]


@dataclass(slots=True)
class _Kept(Generic[T]):
    value: T
    expires: float


@dataclass(slots=True)
class _Flight(Generic[T]):
    task: asyncio.Task[T]
    waiting: int = 0


class TtlCache(Generic[T]):
    """Keeps results of coroutines for a time. Entries belong to groups, which can be dropped as a whole.

    Of many callers that miss the same entry at once one makes it and the others wait for it. Errors are not kept. What
    is being made when its group is dropped goes to those who wait for it already, and is not kept.

    Args:
        ttl: Seconds that an entry is good for.
        max_entries: How many are kept; the one used longest ago goes first.
        clock: Tells the time in seconds; for tests.
    """

    def __init__(
        self, ttl: float = 300.0, max_entries: int = 1024, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl = ttl
        self._max_entries = max_entries
        self._clock = clock
        self._kept: OrderedDict[At, _Kept[T]] = OrderedDict()
        self._flights: dict[At, _Flight[T]] = {}
        self._groups: dict[Hashable, set[At]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, group: Hashable, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """Returns an entry, and makes it first if there is none that is still good.

        Args:
            group: What the entry is about, such as a tenant and a name.
            key: Which entry of the group.
            make: Makes the value; what it raises is raised here.
        """
        at = (group, key)
        kept = self._kept.get(at)
        if kept is not None and self._clock() < kept.expires:
            self._kept.move_to_end(at)
            return kept.value
        flight = self._flights.get(at) or self._begin(at, make)
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():  # nobody wants it any more
                self._leave(at, flight)
                flight.task.cancel()

    def invalidate(self, group: Hashable) -> None:
        """Drops all entries of a group."""
        for at in self._groups.pop(group, set()):
            self._kept.pop(at, None)
            self._flights.pop(at, None)

    def invalidate_all(self) -> None:
        """Drops everything."""
        self._groups.clear()
        self._kept.clear()
        self._flights.clear()

    def _begin(self, at: At, make: Callable[[], Awaitable[T]]) -> _Flight[T]:
        async def fly() -> T:
            try:
                value = await make()
                if self._flights.get(at) is flight:
                    self._keep(at, value)
                return value
            finally:
                self._leave(at, flight)

        flight = self._flights[at] = _Flight(asyncio.create_task(fly()))
        self._groups.setdefault(at[0], set()).add(at)
        return flight

    def _keep(self, at: At, value: T) -> None:
        self._kept[at] = _Kept(value, self._clock() + self._ttl)
        self._kept.move_to_end(at)
        if len(self._kept) > self._max_entries:
            oldest, _ = self._kept.popitem(last=False)
            self._forget(oldest)

    def _leave(self, at: At, flight: _Flight[T]) -> None:
        if self._flights.get(at) is flight:
            del self._flights[at]
            self._forget(at)

    def _forget(self, at: At) -> None:
        """Takes an entry out of its group if it is neither kept nor being made."""
        if at in self._kept or at in self._flights:
            return
        group = self._groups.get(at[0], set())
        group.discard(at)
        if not group:
            self._groups.pop(at[0], None)
