"""When to try again what has failed: soon at first, then less and less often."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_SECONDS = 0.5
LONGEST_SECONDS = 8.0
FORGET_SECONDS = 600.0
"""How long after it could have been tried again what has failed is forgotten: it may be gone."""


@dataclass(frozen=True, slots=True)
class _Failed:
    pause: float
    until: float


class Patience:
    """Knows what has failed and when to try it again.

    Args:
        clock: Tells the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, _Failed] = {}

    def failed(self, name: str) -> float:
        """Notes that something has failed, and returns for how many seconds it waits now."""
        before = self._failed.pop(name, None)
        pause = FIRST_SECONDS if before is None else min(LONGEST_SECONDS, 2 * before.pause)
        self._forget()
        self._failed[name] = _Failed(pause, self._clock() + pause)
        return pause

    def done(self, name: str) -> None:
        """Notes that something has not failed."""
        self._failed.pop(name, None)

    def waits(self, name: str) -> bool:
        """Returns whether something is not to be tried again yet."""
        found = self._failed.get(name)
        return found is not None and self._clock() < found.until

    def waiting(self) -> frozenset[str]:
        """Returns all that is not to be tried again yet."""
        return frozenset(name for name in self._failed if self.waits(name))

    def _forget(self) -> None:
        """Forgets what has been due for long; the oldest come first."""
        while self._failed:
            oldest = next(iter(self._failed))
            if self._clock() < self._failed[oldest].until + FORGET_SECONDS:
                return
            del self._failed[oldest]
