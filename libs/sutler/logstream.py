"""Standard error for log lines: a full disk or a closed pipe behind it fails no call."""

from __future__ import annotations

from contextlib import suppress
from typing import IO, AnyStr, Generic


class LogStream(Generic[AnyStr]):
    """Passes lines on at once, and loses those that a full disk or a reader that is gone does not take.

    Args:
        stream: Usually standard error.
    """

    def __init__(self, stream: IO[AnyStr]) -> None:
        self._stream: IO[AnyStr] = stream

    def write(self, text: AnyStr) -> int:
        """Writes text, if it can be written."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what the stream still holds, if it can be written."""
        with suppress(OSError):
            self._stream.flush()
