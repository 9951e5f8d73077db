"""The time of changes and reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Clock:
    """Tells the time, and neither goes back nor stands still when the system's clock is set back.

    Then it goes on from where it was, until the system's clock has caught up: what has ended stays ended, and what is
    to end in a minute does so.

    Args:
        source: Returns epoch seconds, such as :func:`time.time`.
        ticks: Returns seconds that only ever grow.
    """

    def __init__(self, source: Callable[[], float] = time.time, ticks: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._ticks = ticks
        self._last = float("-inf")
        self._last_ticks = 0.0
        self._lock = threading.Lock()

    def now(self) -> float:
        """Returns epoch seconds, at least what it returned before. For any thread."""
        with self._lock:
            now, ticks = self._source(), self._ticks()
            if now < self._last:
                now = self._last + (ticks - self._last_ticks)
            self._last, self._last_ticks = now, ticks
            return now
