"""Reads files piece by piece."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class FileReader:
    """An open file, which stays readable when it is deleted. It may be closed while another thread reads.

    Args:
        path: Where it is.

    Raises:
        OSError: From here and from :meth:`read`, if the file system does not answer, or it is closed.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._lock = threading.Lock()
        self._open = True

    def read(self, offset: int, length: int) -> bytes:
        """Returns bytes; fewer if the file ends before."""
        with self._lock:
            if not self._open:
                raise OSError("the file is closed")
            return os.pread(self._file, length, offset)

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            if self._open:
                self._open = False
                os.close(self._file)
