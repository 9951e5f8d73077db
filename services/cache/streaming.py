"""The work behind WriteBlob: a value of any size, taken piece by piece."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TypeAlias

from sutler.errors import SutlerError

from services.cache.backends import Backends
from services.cache.caches import Cache
from services.cache.changes import Draft
from services.cache.changing import Changes
from services.cache.counting import Counts
from services.cache.entries import Kind, if_living, put_life
from services.cache.faults import blob_incomplete, blob_mismatch, stream_order
from services.cache.ports import MetadataBackend
from services.cache.puts import Content, Put, check_size, unmet, written_by
from services.cache.reach import Reach
from services.cache.results import Result


@dataclass(frozen=True, slots=True)
class Header:
    """Begins a stream.

    Attributes:
        cache: The name of the cache.
        put: What to put, without its value.
    """

    cache: str
    put: Put


@dataclass(frozen=True, slots=True)
class Trailer:
    """Ends a stream.

    Attributes:
        size: The bytes of the value.
        sha256: Its SHA-256, as 64 hexadecimal digits; empty if the caller does not tell.
    """

    size: int
    sha256: str


Part: TypeAlias = Header | bytes | Trailer


class Streams:
    """Takes values piece by piece; nothing of a stream is seen before all of it is durable.

    Args:
        reach: Finds caches.
        backends: Where blobs are.
        changes: Puts the entry at the end.
        counts: Counts puts that are refused at their beginning.
    """

    def __init__(self, reach: Reach, backends: Backends, changes: Changes, counts: Counts) -> None:
        self._reach = reach
        self._backends = backends
        self._changes = changes
        self._counts = counts

    async def write(self, tenant: str, parts: AsyncIterator[Part]) -> tuple[str, Result]:
        """Puts an entry from a stream; returns the name of the cache, and the entry or what refuses it.

        Raises:
            Invalid: If the stream is out of order, ends early, or is not what its trailer says (STREAM_ORDER_INVALID,
                BLOB_INCOMPLETE, BLOB_MISMATCH), or the value is too large (TOO_LARGE).
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
            SutlerError: As :meth:`services.cache.changing.Changes.put`, and what refuses the put at its beginning.
        """
        header = await anext(parts, None)
        if header is None:
            raise blob_incomplete(0)
        if not isinstance(header, Header):
            raise stream_order("header", _name(header))

        async def check(cache: Cache, backend: MetadataBackend) -> Cache:
            try:
                await _check_condition(cache, backend, header.put)
            except SutlerError as refusal:
                self._counts.put(cache.space, [refusal])
                raise
            return cache

        cache = await self._reach.on(tenant, header.cache, check)
        draft = await self._take(cache, parts)
        blob = draft.blob
        whole = replace(header.put, content=Content(Kind.BYTES, blob.size, blob.checksum, blob=blob))
        return header.cache, await self._changes.put_draft(tenant, header.cache, whole, draft)

    async def _take(self, cache: Cache, parts: AsyncIterator[Part]) -> Draft:
        size = 0
        async with self._backends.blobs(cache).writer(cache.tenant, cache.compression) as writer:
            async for part in parts:
                if isinstance(part, Header):
                    raise stream_order("data or trailer", "header")
                if isinstance(part, Trailer):
                    after = await anext(parts, None)
                    if after is not None:
                        raise stream_order("its end", _name(after))
                    _check_trailer(part, size, await writer.sha256())
                    return await writer.finish()
                size += len(part)
                check_size(cache, size)
                await writer.write(part)
        raise blob_incomplete(size)


async def _check_condition(cache: Cache, backend: MetadataBackend, wanted: Put) -> None:
    """Refuses a put that cannot succeed before its value is sent; a repeat of one that did may go on."""
    found = await backend.get(cache, wanted.key, value=False, lease=True)
    living = if_living(found.entry, found.now)
    refusal = unmet(cache, wanted, living, found.lease)
    if refusal is not None and not written_by(wanted, living):
        raise refusal
    put_life(cache, wanted.ttl, wanted.expire_time, found.now)


def _check_trailer(trailer: Trailer, size: int, sha256: str) -> None:
    if trailer.size != size:
        raise blob_mismatch("size_bytes", str(trailer.size), str(size))
    if trailer.sha256 and trailer.sha256 != sha256:
        raise blob_mismatch("sha256", trailer.sha256, sha256)


def _name(part: Part) -> str:
    return {Header: "header", bytes: "data", Trailer: "trailer"}[type(part)]
