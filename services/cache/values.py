"""Values on their way out: unpacked, and checked against what was put."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import structlog
from sutler.errors import NotFound

from services.cache.caches import Cache, Compression
from services.cache.entries import Entry, checksum
from services.cache.faults import DamagedError, entry_corrupt, signature_invalid
from services.cache.packing import unpack
from services.cache.ports import BlobBackend
from services.cache.preparing import LARGE
from services.cache.signing import ALTERED, sha256_of, signed_sha256

T = TypeVar("T")

log = structlog.get_logger("sutler.cache")


async def value_of(entry: Entry, blobs: BlobBackend) -> bytes:
    """Returns the value of an entry, from beside its metadata or from a blob of at most 1 MiB.

    If the entry's signature was found right, the value must have the SHA-256 in it.

    Raises:
        DamagedError: If it is not what was put.
        Unavailable: If the backend of blobs does not answer.
    """
    if entry.blob is not None:
        value = await blobs.load(entry.blob)
        if entry.verified:
            await _off_loop(entry, lambda: _check_signed(entry, value))
        return value
    if entry.verified or entry.packing is not Compression.NONE:
        return await _off_loop(entry, lambda: _opened(entry))
    return _opened(entry)


async def stream_of(entry: Entry, blobs: BlobBackend, offset: int, limit: int) -> AsyncIterator[bytes]:
    """Yields a part of the value of an entry from a blob, in chunks of at most 1 MiB.

    Each chunk is checked by its checksum before it is given. Where the signature was found right, the SHA-256 of the
    value must be the one in it: the whole blob is read, however small the part, and the last chunk is held back until
    that is known. So a part that came to its end is what was put; one that breaks off is to be thrown away.

    Args:
        entry: The entry.
        blobs: Where its blob is.
        offset: Where the part begins, in bytes.
        limit: How many bytes it has at the most; 0 is without bound.

    Raises:
        DamagedError: If the value is not what was put.
        Unavailable: If the backend of blobs does not answer.
    """
    assert entry.blob is not None
    if not entry.verified:
        async for data in blobs.read(entry.blob, offset, limit):
            yield data
        return
    end = min(entry.size, offset + limit) if limit else entry.size
    position, held, digest = 0, b"", hashlib.sha256()
    async for data in blobs.read(entry.blob, 0, 0):
        await asyncio.to_thread(digest.update, data)
        part = data[max(offset - position, 0) : max(end - position, 0)]
        position += len(data)
        if part:
            if held:
                yield held
            held = part
    if digest.hexdigest() != signed_sha256(entry):
        raise DamagedError(ALTERED)
    if held:
        yield held


def refusal(cache: Cache, key: str, error: DamagedError) -> NotFound:
    """Returns what a caller is told of a value that is not what was put; an operator finds it in the log."""
    log.warning("cache.entry_corrupt", cache=cache.name, tenant=cache.tenant, cause=error.cause)
    if error.cause == ALTERED:
        return signature_invalid(cache.name, key, ALTERED)
    return entry_corrupt(cache.name, key, error.cause)


def _opened(entry: Entry) -> bytes:
    """Returns a value that was stored beside its metadata. Raises DamagedError."""
    assert entry.value is not None
    value = unpack(entry.value, entry.packing, entry.size)
    if checksum(value) != entry.checksum:
        raise DamagedError("checksum")
    _check_signed(entry, value)
    return value


def _check_signed(entry: Entry, value: bytes) -> None:
    if entry.verified and sha256_of(value) != signed_sha256(entry):
        raise DamagedError(ALTERED)


async def _off_loop(entry: Entry, work: Callable[[], T]) -> T:
    """Returns what work on a value gives; for a large one in a thread, so that other calls come in between."""
    return await asyncio.to_thread(work) if entry.size > LARGE else work()
