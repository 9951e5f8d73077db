"""The line in which processes stand that want to write the same file."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from sutler.store.sqlite.errors import is_locked

FIRST_PAUSE_SECONDS = 0.0001
LONGEST_PAUSE_SECONDS = 0.0005


class Line:
    """Lets every process have its turn.

    SQLite has no queue: whoever asks at the right moment gets the write lock, so a process that commits without a
    break starves the others until they time out (measured: of eight, five got no turn in 5 s). Here who wants to
    write first takes a file lock, keeps it while it waits for SQLite's own, and gives it back once it has that. One
    that has just committed thus stands behind one that waits. The kernel frees the file lock of a process that dies.

    Args:
        path: The lock file, beside the database; :class:`sutler.store.sqlite.commits.Commits` counts in it.
        timeout: Seconds to wait for one's turn.
    """

    def __init__(self, path: Path, timeout: float) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._timeout = timeout

    def pass_through(self, begin: Callable[[], object], patient: bool = True) -> None:
        """Calls ``begin``, which takes SQLite's lock or raises that it is busy, when it is this process's turn.

        Args:
            begin: Takes the lock.
            patient: Whether to wait for the turn.

        Raises:
            sqlite3.OperationalError: SQLITE_BUSY if that takes too long; whatever else ``begin`` raises.
        """
        deadline = time.monotonic() + self._timeout if patient else 0.0
        _poll(self._lock, deadline)
        try:
            _poll(begin, deadline)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Leaves the line for good."""
        os.close(self._file)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            busy = sqlite3.OperationalError("another process stands in line")
            busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise busy from error


def _poll(action: Callable[[], object], deadline: float) -> None:
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            if not is_locked(error) or time.monotonic() > deadline:
                raise
        time.sleep(pause)
        pause = min(LONGEST_PAUSE_SECONDS, pause * 1.5)
