"""The work of the processor on a blob that is written: hashes and packing."""

from __future__ import annotations

import hashlib

import xxhash

from services.cache.adapters.objects.layout import CHUNK, Part, packed, to_index
from services.cache.caches import Compression
from services.cache.entries import Blob


class Packer:
    """Makes of the bytes of a value those of its object. For one thread at a time.

    Args:
        compression: How chunks are packed.
    """

    def __init__(self, compression: Compression) -> None:
        self._compression = compression
        self._sha256 = hashlib.sha256()
        self._whole = xxhash.xxh3_128()
        self._size = 0
        self._rest = b""
        self._parts: list[Part] = []
        self._index = b""

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was added so far, as 64 hexadecimal digits."""
        return self._sha256.hexdigest()

    def add(self, data: bytes) -> bytes:
        """Takes the next bytes of the value and returns the next bytes of its object, which may be none."""
        self._sha256.update(data)
        self._whole.update(data)
        self._size += len(data)
        waiting = self._rest + data if self._rest else data
        full = len(waiting) - len(waiting) % CHUNK
        if full == len(waiting) == CHUNK:
            self._rest = b""
            return self._packed(waiting)
        self._rest = waiting[full:]
        return b"".join(self._packed(waiting[start : start + CHUNK]) for start in range(0, full, CHUNK))

    def end(self) -> bytes:
        """Returns the last bytes of the object."""
        last = self._packed(self._rest) if self._rest else b""
        self._rest = b""
        if len(self._parts) > 1:
            self._index = to_index(self._parts, self._packing)
        return last + self._index

    def blob(self, locator: str) -> Blob:
        """Returns the blob, after :meth:`end`."""
        return Blob(
            self.sha256,
            self._size,
            self._whole.hexdigest(),
            xxhash.xxh3_128_hexdigest(self._index) if self._index else "",
            locator,
            packing=self._packing,
            stored_size=self._stored,
        )

    @property
    def _stored(self) -> int:
        return sum(part.length for part in self._parts)

    @property
    def _packing(self) -> Compression:
        return self._compression if self._stored < self._size else Compression.NONE

    def _packed(self, chunk: bytes) -> bytes:
        part, data = packed(chunk, self._compression)
        self._parts.append(part)
        return data
