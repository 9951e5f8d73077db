"""How many calls wait and how many watches are open in this process, for each cache."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gauge:
    """What goes on in one cache now.

    Attributes:
        waiters: How many calls wait for a lease, or for the value of whoever has it.
        watchers: How many watches of invalidations are open.
    """

    waiters: int = 0
    watchers: int = 0


class Gauges:
    """Knows what goes on in each cache now, in this process."""

    def __init__(self) -> None:
        self._waiters: Counter[int] = Counter()
        self._watchers: Counter[int] = Counter()

    @contextmanager
    def waiting(self, space: int) -> Iterator[None]:
        """Counts a call that waits, for as long as the block lasts."""
        with _counted(self._waiters, space):
            yield

    @contextmanager
    def watching(self, space: int) -> Iterator[None]:
        """Counts an open watch, for as long as the block lasts."""
        with _counted(self._watchers, space):
            yield

    def now(self) -> Mapping[int, Gauge]:
        """Returns what goes on in those caches in which anything does, by their numbers."""
        spaces = self._waiters.keys() | self._watchers.keys()
        return {space: Gauge(self._waiters[space], self._watchers[space]) for space in spaces}


@contextmanager
def _counted(counter: Counter[int], space: int) -> Iterator[None]:
    counter[space] += 1
    try:
        yield
    finally:
        counter[space] -= 1
        if not counter[space]:
            del counter[space]
