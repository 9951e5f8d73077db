"""Reads the chunks of a blob from its object."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import xxhash
from sutler.backends import ByteStore

from services.cache.adapters.objects.layout import CHUNK, Part, count, from_index, index_size, size_of, unpacked
from services.cache.caches import Compression
from services.cache.entries import Blob
from services.cache.faults import DamagedError
from services.cache.packing import unpack


async def load(store: ByteStore, blob: Blob) -> bytes:
    """Returns the bytes of a blob that is one chunk. Raises as :func:`chunks`."""
    data = await store.read(blob.locator, 0, blob.stored_size + 1)
    if data is None:
        raise DamagedError("missing")
    if len(data) != blob.stored_size:
        raise DamagedError("size")
    value = data
    if blob.packing is not Compression.NONE:
        value = await asyncio.to_thread(unpack, data, blob.packing, blob.size)
    if len(value) != blob.size:
        raise DamagedError("size")
    if xxhash.xxh3_128_hexdigest(value) != blob.checksum:
        raise DamagedError("checksum")
    return value


async def chunks(store: ByteStore, blob: Blob, first: int, end: int) -> AsyncGenerator[bytes]:
    """Yields chunks of a blob, checked, from number ``first`` on and before ``end``.

    Raises:
        DamagedError: If they are missing or not what was stored.
        Unavailable: If the store does not answer.
    """
    if not blob.chunks:
        yield await load(store, blob)
        return
    parts = await _index(store, blob)
    offset, wanted = sum(part.length for part in parts[:first]), parts[first:end]
    length = sum(part.length for part in wanted)
    async with aclosing(store.stream(blob.locator, offset, length)) as pieces:
        number = first
        async for data in _divided(pieces, wanted):
            size, part = size_of(blob, number), parts[number]
            if part.length < size:
                yield await asyncio.to_thread(unpacked, data, part, blob.packing, size)
            else:
                yield unpacked(data, part, blob.packing, size)
            number += 1


async def check_there(store: ByteStore, blob: Blob) -> None:
    """Checks that the object of a blob is there and has its size; reads no value. Raises as :func:`chunks`."""
    if blob.chunks:
        await _index(store, blob)
        return
    last = await store.read(blob.locator, max(0, blob.stored_size - 1), 2)
    if last is None:
        raise DamagedError("missing")
    if len(last) != min(1, blob.stored_size):
        raise DamagedError("size")


async def _index(store: ByteStore, blob: Blob) -> Sequence[Part]:
    size = index_size(blob)
    index = await store.read(blob.locator, blob.stored_size, size + 1)
    if index is None:
        raise DamagedError("missing")
    parts = from_index(index, blob)
    if sum(part.length for part in parts) != blob.stored_size:
        raise DamagedError("size")
    return parts


async def _divided(pieces: AsyncGenerator[bytes], parts: Sequence[Part]) -> AsyncIterator[bytes]:
    """Yields for each part its bytes."""
    rest, begun = bytearray(), False
    for part in parts:
        piece = b""
        while len(rest) + len(piece) < part.length:
            rest += piece
            piece = await anext(pieces, b"")
            if not piece:
                raise DamagedError("size" if begun else "missing")
            begun = True
        if not rest and len(piece) == part.length:
            yield piece
            continue
        rest += piece
        yield bytes(rest[: part.length])
        del rest[: part.length]


def span(blob: Blob, offset: int, end: int) -> tuple[int, int]:
    """Returns the numbers of the first chunk that a range of bytes touches, and of the one behind the last."""
    return offset // CHUNK, min(count(blob), -(-end // CHUNK))
