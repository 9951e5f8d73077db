"""A count of commits that all processes with the same file share, for less than a look into the database."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path

_BEGUN, _DONE = 0, 1
_BYTES = 16


class Commits:
    """Two numbers in memory that is shared through a file: that of the last commit begun, and of the last done.

    A commit is numbered under SQLite's write lock before anybody can see it, so while the numbers are equal and stay
    the same, nothing was committed. They differ while a commit is under way, and until the next one after a writer died
    within it, or one overtook the end of another. Writers that do not count (the ``sqlite3`` shell) are not seen.

    Args:
        path: The file, which is made if it is not there; what it holds need not outlive the machine.

    Raises:
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if os.fstat(file).st_size < _BYTES:
                os.ftruncate(file, _BYTES)
            self._memory = mmap.mmap(file, _BYTES)
        finally:
            os.close(file)
        self._numbers = memoryview(self._memory).cast("Q")

    def mark(self) -> int | None:
        """Returns the number of the last commit; None while that is not certain."""
        done, begun = self._numbers[_DONE], self._numbers[_BEGUN]
        return begun if begun == done else None

    def count(self, commit: Callable[[], None]) -> None:
        """Calls ``commit``, for a writer that holds SQLite's lock. Raises what that raises."""
        number = self._numbers[_BEGUN] = self._numbers[_BEGUN] + 1
        commit()
        self._numbers[_DONE] = number

    def close(self) -> None:
        """Lets the memory go; nothing may be called after it."""
        self._numbers.release()
        self._memory.close()
