"""A file for log lines that costs a call no system call: lines are written together, a moment later."""

from __future__ import annotations

import atexit
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

MAX_BYTES = 100 * 1024 * 1024
"""How large a file becomes; then it is kept once more, with ``.1`` after its name, and a new one begins."""

FLUSH_SECONDS = 0.1
"""How long a line waits at the most. A process that is killed loses so much of its log."""

MAX_LINES = 100_000
"""How many lines wait while the disk takes none; then the oldest are lost, so that memory does not grow for ever."""


Line = bytes | Callable[[], bytes]


class LogFile:
    """Appends lines to a file. Looks like a binary file to structlog.

    Args:
        path: The file; its folder must exist.

    Raises:
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self._lines: deque[Line] = deque(maxlen=MAX_LINES)
        self._begun = b""
        self._wanted = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._run, name="log", daemon=True).start()
        atexit.register(self.write_out)

    def write(self, line: bytes) -> int:
        """Takes a line; it is in the file within 0.1 s, or when the process ends."""
        self.write_later(line)
        return len(line)

    def write_later(self, line: Line) -> None:
        """Does the same with a line, or with what makes one when lines are written."""
        self._lines.append(line)
        if not self._wanted.is_set():
            self._wanted.set()

    def flush(self) -> None:
        """Does nothing: structlog calls it after every line."""

    def write_out(self) -> None:
        """Writes what has come so far. What a full disk does not take is written later."""
        with self._writing:
            if self._write_begun():
                waiting = [self._lines.popleft() for _ in range(len(self._lines))]
                self._begun = b"".join(line if isinstance(line, bytes) else line() for line in waiting)
                self._write_begun()
                with suppress(OSError):
                    self._turn_over()

    def _write_begun(self) -> bool:
        """Writes what was taken before; returns whether all of it is written."""
        while self._begun:
            try:
                written = self._file.write(self._begun)
            except OSError:
                self._wanted.set()
                return False
            self._begun = self._begun[written:]
        return True

    def _turn_over(self) -> None:
        """Begins a new file when this one is full. Other processes may write to it too, and have begun one already."""
        mine = os.fstat(self._file.fileno())
        if mine.st_size < MAX_BYTES:
            return
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if self._path.exists() and os.path.samestat(mine, self._path.stat()):
                self._path.rename(self._path.with_name(f"{self._path.name}.1"))
            full, self._file = self._file, self._path.open("ab", buffering=0)
        finally:
            os.close(folder)
        full.close()

    def _run(self) -> None:
        while True:
            self._wanted.wait()
            time.sleep(FLUSH_SECONDS)
            self._wanted.clear()
            self.write_out()
