"""Reads blobs from files, and checks them against what was stored."""

from __future__ import annotations

import os
from pathlib import Path

import xxhash

from services.cache.adapters.filesystem.writing import CHUNK, DIGEST
from services.cache.entries import Blob
from services.cache.faults import DamagedError


def load(path: Path, blob: Blob) -> bytes:
    """Returns the bytes of a blob that is one chunk.

    Raises:
        DamagedError: If they are not what was stored.
        OSError: If the file system does not answer.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise DamagedError("missing") from error
    try:
        data = os.pread(file, blob.size + 1, 0)
    finally:
        os.close(file)
    if len(data) != blob.size:
        raise DamagedError("size")
    if xxhash.xxh3_128_hexdigest(data) != blob.checksum:
        raise DamagedError("checksum")
    return data


class FileReader:
    """Reads a blob chunk by chunk; the open file stays readable when it is deleted.

    Args:
        path: Where it is.
        blob: What it must be.

    Raises:
        DamagedError: From here and from :meth:`chunk`, if it is not that.
        OSError: Likewise, if the file system does not answer.
    """

    def __init__(self, path: Path, blob: Blob) -> None:
        self._blob = blob
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise DamagedError("missing") from error
        try:
            self._digests = self._read_digests()
        except BaseException:
            self.close()
            raise

    def chunk(self, index: int) -> bytes:
        """Returns a chunk, checked."""
        data = os.pread(self._file, min(CHUNK, self._blob.size - index * CHUNK), index * CHUNK)
        if self._blob.chunks:
            expected = self._digests[index * DIGEST : (index + 1) * DIGEST].hex()
        else:
            expected = self._blob.checksum
        if xxhash.xxh3_128_hexdigest(data) != expected:
            raise DamagedError("checksum")
        return data

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _read_digests(self) -> bytes:
        count = -(-self._blob.size // CHUNK) if self._blob.chunks else 0
        if os.fstat(self._file).st_size != self._blob.size + count * DIGEST:
            raise DamagedError("size")
        digests = os.pread(self._file, count * DIGEST, self._blob.size)
        if self._blob.chunks and xxhash.xxh3_128_hexdigest(digests) != self._blob.chunks:
            raise DamagedError("checksum")
        return digests
