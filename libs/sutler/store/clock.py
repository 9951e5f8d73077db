"""The time of changes and reads."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Clock:
    """Tells the time and never goes back, whatever the system's clock does.

    Args:
        source: Returns epoch seconds, such as :func:`time.time`.
    """

    def __init__(self, source: Callable[[], float]) -> None:
        self._source = source
        self._last = float("-inf")
        self._lock = threading.Lock()

    def now(self) -> float:
        """Returns epoch seconds, at least what it returned before. For any thread."""
        with self._lock:
            self._last = max(self._last, self._source())
            return self._last
