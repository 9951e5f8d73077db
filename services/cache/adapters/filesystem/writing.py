"""Writes files that are there as a whole or not at all, and never changed."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from sutler import folders

INCOMING = "incoming"
MAX_KNOWN = 100_000


class Folders:
    """Makes the folders of files, so that they outlive a loss of power.

    Args:
        root: The folder of all; made with ``incoming`` in it.

    Raises:
        OSError: From here and from :meth:`make`, if the file system does not do it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: set[Path] = {root}
        self._lock = threading.Lock()
        folders.make(root)
        self.make(root / INCOMING)

    def make(self, folder: Path) -> None:
        """Makes a folder below the root, and those that lead to it; each is synced once for each process."""
        with self._lock:
            if len(self._durable) > MAX_KNOWN:
                self._durable = {self.root}
            self._make(folder)

    def _make(self, folder: Path) -> None:
        if folder in self._durable:
            return
        self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        folders.sync(folder.parent)
        self._durable.add(folder)


class FileWriter:
    """Writes a file, which is made with its first bytes. For one thread at a time, but another may abort it.

    The file is locked while it is written, so that a sweep can tell what a dead process left behind.

    Args:
        folders: Those of the store.
        name: Where it will be, from their root.

    Attributes:
        ended: Whether it is finished or aborted.
    """

    def __init__(self, folders: Folders, name: str) -> None:
        self.ended = False
        self._folders = folders
        self._place = folders.root / name
        self._path = folders.root / INCOMING / uuid4().hex
        self._file: int | None = None
        self._lock = threading.Lock()

    def write(self, pieces: Sequence[bytes]) -> None:
        """Takes the next bytes.

        Raises:
            OSError: If the file system does not, or the file was aborted.
        """
        with self._lock:
            _write(self._opened(), pieces)

    def finish(self, pieces: Sequence[bytes]) -> None:
        """Takes the last bytes, and makes the file durable in its place. Raises as :meth:`write`."""
        with self._lock:
            file = self._opened()
            _write(file, pieces)
            os.fsync(file)
            os.utime(file)  # its age as an orphan counts from here, however long the sync took
            self._folders.make(self._place.parent)
            os.rename(self._path, self._place)
            folders.sync(self._place.parent)
            self.ended = True
            os.close(file)

    def abort(self) -> None:
        """Removes what is not finished; does nothing after :meth:`finish`."""
        with self._lock:
            if self.ended:
                return
            self.ended = True
            if self._file is not None:
                with suppress(OSError):
                    self._path.unlink()
                os.close(self._file)

    def _opened(self) -> int:
        if self.ended:
            raise OSError(f"{self._path} is closed")
        if self._file is None:
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self._file


def _write(file: int, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            rest = rest[os.write(file, rest) :]
