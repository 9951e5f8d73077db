"""How a blob lies in its object: its chunks, packed one by one, and behind them an index of them.

A blob of one chunk is that chunk alone. The index has the xxh3-128 of each chunk as it was given and, where chunks are
packed, the bytes that it takes; so a read from any offset reads nothing that stands before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import xxhash

from services.cache.caches import Compression
from services.cache.entries import Blob
from services.cache.faults import DamagedError
from services.cache.packing import pack, unpack

CHUNK = 1 << 20
DIGEST = 16
LENGTH = 4


@dataclass(frozen=True, slots=True)
class Part:
    """One chunk.

    Attributes:
        digest: The xxh3-128 of the chunk as it was given.
        length: The bytes that it takes; as many as it has where packing makes it no smaller.
    """

    digest: bytes
    length: int


def packed(chunk: bytes, compression: Compression) -> tuple[Part, bytes]:
    """Returns a chunk for its object."""
    _, data = pack(chunk, compression)
    return Part(xxhash.xxh3_128_digest(chunk), len(data)), data


def unpacked(data: bytes, part: Part, packing: Compression, size: int) -> bytes:
    """Returns a chunk of ``size`` bytes as it was given.

    Raises:
        DamagedError: If it is not what was given.
    """
    chunk = unpack(data, packing if part.length < size else Compression.NONE, size)
    if xxhash.xxh3_128_digest(chunk) != part.digest:
        raise DamagedError("checksum")
    return chunk


def count(blob: Blob) -> int:
    """Returns how many chunks a blob has."""
    return -(-blob.size // CHUNK)


def size_of(blob: Blob, number: int) -> int:
    """Returns the bytes of a chunk as it was given."""
    return min(CHUNK, blob.size - number * CHUNK)


def to_index(parts: Sequence[Part], packing: Compression) -> bytes:
    """Returns the index of the chunks of a blob."""
    if packing is Compression.NONE:
        return b"".join(part.digest for part in parts)
    return b"".join(part.digest + part.length.to_bytes(LENGTH, "big") for part in parts)


def index_size(blob: Blob) -> int:
    """Returns the bytes of a blob's index."""
    return count(blob) * (DIGEST if blob.packing is Compression.NONE else DIGEST + LENGTH)


def from_index(index: bytes, blob: Blob) -> list[Part]:
    """Returns the chunks of a blob.

    Raises:
        DamagedError: If the index is not what was stored.
    """
    if len(index) != index_size(blob):
        raise DamagedError("size")
    if xxhash.xxh3_128_hexdigest(index) != blob.chunks:
        raise DamagedError("checksum")
    step = len(index) // count(blob)
    rows = [index[start : start + step] for start in range(0, len(index), step)]
    if blob.packing is Compression.NONE:
        return [Part(row, size_of(blob, number)) for number, row in enumerate(rows)]
    return [Part(row[:DIGEST], int.from_bytes(row[DIGEST:], "big")) for row in rows]
