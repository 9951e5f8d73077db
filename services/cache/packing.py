"""Values as they are at rest: packed where that makes them smaller."""

from __future__ import annotations

import lz4.block
import zstandard

from services.cache.caches import Compression
from services.cache.faults import DamagedError

LEVEL = 3
"""Of Zstandard: its own default, some 400 MB/s."""


def pack(value: bytes, compression: Compression) -> tuple[Compression, bytes]:
    """Returns how a value is packed, and its bytes then: as it is where packing makes it no smaller."""
    if compression is Compression.ZSTD:
        packed = zstandard.ZstdCompressor(LEVEL).compress(value)
    elif compression is Compression.LZ4:
        packed = lz4.block.compress(value, store_size=False)
    else:
        return Compression.NONE, value
    return (compression, packed) if len(packed) < len(value) else (Compression.NONE, value)


def unpack(packed: bytes, packing: Compression, size: int) -> bytes:
    """Returns the value of ``size`` bytes that was packed.

    Raises:
        DamagedError: If the bytes are not what packing made; never more than ``size`` bytes are made of them.
    """
    try:
        if packing is Compression.ZSTD:
            value = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size) if size else b""
        elif packing is Compression.LZ4:
            value = lz4.block.decompress(packed, uncompressed_size=size)
        else:
            value = packed
    except (zstandard.ZstdError, lz4.block.LZ4BlockError) as error:
        raise DamagedError("packing") from error
    if len(value) != size:
        raise DamagedError("size")
    return value
