"""Writes blobs as files: ``<tenant>/<2 digits>/<sha256>.<random>``, written once and never changed.

The file has the bytes of the value and, where they are more than one chunk, the xxh3-128 of each chunk behind them.
No key and no name that a caller chose is part of the path: the tenant is there as a digest.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import xxhash
from sutler import folders

from services.cache.changes import Draft
from services.cache.entries import Blob

CHUNK = 1 << 20
DIGEST = 16
INCOMING = "incoming"
MAX_KNOWN = 100_000


class Folders:
    """Makes the folders of blobs, so that they outlive a loss of power.

    Args:
        root: The folder of all blobs; made with ``incoming`` in it.

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
    """Writes a blob. For one thread at a time, but it may be aborted by another.

    The file is locked while it is written, so that a sweep can tell what a dead process left behind.

    Args:
        folders: Those of the backend.
        tenant: Whose blob it is.

    Raises:
        OSError: From here and from every method, if the file system does not do it.
    """

    def __init__(self, folders: Folders, tenant: str) -> None:
        self._folders = folders
        self._tenant = hashlib.sha256(tenant.encode()).hexdigest()[:32]
        self._path = folders.root / INCOMING / uuid4().hex
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self._lock = threading.Lock()
        self._open = True
        self._size = 0
        self._sha256 = hashlib.sha256()
        self._whole = xxhash.xxh3_128()
        self._chunk = xxhash.xxh3_128()
        self._digests = bytearray()
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far, as 64 hexadecimal digits."""
        return self._sha256.hexdigest()

    def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        with self._lock:
            self._check_open()
            rest = memoryview(data)
            while rest:
                room = CHUNK - self._size % CHUNK
                part, rest = rest[:room], rest[room:]
                self._chunk.update(part)
                self._size += len(part)
                if self._size % CHUNK == 0:
                    self._end_chunk()
            self._sha256.update(data)
            self._whole.update(data)
            _write(self._file, data)

    def finish(self) -> Draft:
        """Makes the file durable in its place."""
        with self._lock:
            self._check_open()
            if self._size % CHUNK:
                self._end_chunk()
            chunks = ""
            if len(self._digests) > DIGEST:
                chunks = xxhash.xxh3_128_hexdigest(self._digests)
                _write(self._file, bytes(self._digests))
            os.fsync(self._file)
            written = time.time()
            os.utime(self._file)  # its age as an orphan counts from here, however long the sync took
            sha256 = self.sha256
            locator = f"{self._tenant}/{sha256[:2]}/{sha256}.{uuid4().hex[:12]}"
            self._move(locator)
            return Draft(Blob(sha256, self._size, self._whole.hexdigest(), chunks, locator), written)

    def abort(self) -> None:
        """Removes what is not finished; does nothing after :meth:`finish`."""
        with self._lock:
            if self._open:
                self._open = False
                with suppress(OSError):
                    self._path.unlink()
                os.close(self._file)

    def _check_open(self) -> None:
        if not self._open:
            raise OSError(f"{self._path} is closed")

    def _end_chunk(self) -> None:
        self._digests += self._chunk.digest()
        self._chunk = xxhash.xxh3_128()

    def _move(self, locator: str) -> None:
        place = self._folders.root / locator
        self._folders.make(place.parent)
        os.rename(self._path, place)
        folders.sync(place.parent)
        self._open = False
        os.close(self._file)


def _write(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]
