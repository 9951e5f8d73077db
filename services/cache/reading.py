"""The work behind the RPCs that read entries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

import structlog
from sutler.errors import NotFound
from sutler.paging import MAX_PAGE_BYTES

from services.cache.accesses import Access, Accesses, must_store, renewed
from services.cache.backends import Backends
from services.cache.caches import DEFAULT_INLINE_LIMIT, Cache
from services.cache.entries import MAX_INLINE_BYTES, Entry, checksum, living
from services.cache.faults import DamagedError, entry_changed, entry_corrupt, offset_invalid
from services.cache.listing import Query
from services.cache.ports import MetadataBackend
from services.cache.reach import Reach
from services.cache.results import Listed

log = structlog.get_logger("sutler.cache")

GROUP = 25
SMALL_GROUP = 5
"""How many keys are read at once, where inline values may be large, so that memory stays bounded."""

CHUNK = 1 << 20


class View(Enum):
    """How much of an entry is wanted."""

    BASIC = auto()
    FULL = auto()
    VALUE = auto()


@dataclass(frozen=True, slots=True)
class Reading:
    """How entries are read.

    Attributes:
        view: How much is wanted. BASIC does not count as an access.
        known_etag: The caller has the value with this etag already.
    """

    view: View = View.FULL
    known_etag: str = ""

    def wants_value(self, entry: Entry) -> bool:
        """Returns whether the value of an entry is wanted."""
        return self.view is not View.BASIC and not (self.known_etag and self.known_etag == entry.etag)


class Reads:
    """Reads entries. Every way to an entry asks whether it is alive and whether its value is whole.

    Args:
        reach: Finds caches.
        backends: Where blobs are.
        accesses: Remembers what was read.
    """

    def __init__(self, reach: Reach, backends: Backends, accesses: Accesses) -> None:
        self._reach = reach
        self._backends = backends
        self._accesses = accesses

    async def get(self, tenant: str, name: str, key: str, reading: Reading) -> Entry:
        """Returns an entry, with its value if that is wanted and at most 1 MiB.

        Raises:
            NotFound: If there is none: CACHE_NOT_FOUND, ENTRY_NOT_FOUND, ENTRY_EXPIRED, ENTRY_CORRUPT.
        """

        async def read(cache: Cache, backend: MetadataBackend) -> Entry:
            found = await backend.get(cache, key, value=reading.view is not View.BASIC)
            return await self._given(cache, backend, key, found.entry, found.now, reading)

        return await self._reach.on(tenant, name, read)

    async def get_many(self, tenant: str, name: str, keys: Sequence[str], reading: Reading) -> list[Entry | NotFound]:
        """Returns an entry, or the reason why there is none, for each key; for the first keys only, but at least one,
        if the values are more than a message holds.

        Raises:
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
        """

        async def read(cache: Cache, backend: MetadataBackend) -> list[Entry | NotFound]:
            results: list[Entry | NotFound] = []
            total, size = 0, GROUP if cache.inline_limit <= DEFAULT_INLINE_LIMIT else SMALL_GROUP
            for start in range(0, len(keys), size):
                group = keys[start : start + size]
                found, now = await backend.get_many(cache, group, value=reading.view is not View.BASIC)
                for key in group:
                    result = await self._result(cache, backend, key, found.get(key), now, reading)
                    results.append(result)
                    total += _size(result)
                    if total > MAX_PAGE_BYTES:
                        return results
            return results

        return await self._reach.on(tenant, name, read)

    async def page(self, tenant: str, name: str, query: Query) -> Listed:
        """Returns one page of living entries, without their values.

        Raises:
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
        """
        return await self._reach.on(tenant, name, lambda cache, backend: backend.page(cache, query))

    async def stream(
        self, tenant: str, name: str, key: str, offset: int, limit: int, etag: str
    ) -> AsyncIterator[Entry | bytes]:
        """Yields an entry, then its value from ``offset`` on, ``limit`` bytes or all, in chunks of at most 1 MiB.

        Raises:
            NotFound: As :meth:`get`; after the first chunk if a later one is corrupt.
            Conflict: If the entry has another etag than the caller knows.
            OutOfRange: If the offset is past the end (OFFSET_INVALID).
        """

        async def begin(cache: Cache, backend: MetadataBackend) -> tuple[Cache, Entry]:
            found = await backend.get(cache, key, value=True)
            entry = living(cache, key, found.entry, found.now)
            if etag and etag.strip('"') != entry.etag.strip('"'):
                raise entry_changed(cache.name, key)
            if offset > entry.size:
                raise offset_invalid(offset, entry.size)
            if entry.blob is None:
                _check(cache, entry)
            return cache, await self._accessed(cache, backend, entry, found.now)

        cache, entry = await self._reach.on(tenant, name, begin)
        yield replace(entry, value=None)
        if entry.blob is None:
            assert entry.value is not None
            end = min(entry.size, offset + limit) if limit else entry.size
            for start in range(offset, end, CHUNK):
                yield entry.value[start : min(start + CHUNK, end)]
            return
        try:
            async for data in self._backends.blobs(cache).read(entry.blob, offset, limit):
                yield data
        except DamagedError as error:
            raise _corrupt(cache, key, error.cause) from error

    async def _result(
        self, cache: Cache, backend: MetadataBackend, key: str, entry: Entry | None, now: float, reading: Reading
    ) -> Entry | NotFound:
        try:
            return await self._given(cache, backend, key, entry, now, reading)
        except NotFound as missing:
            return missing

    async def _given(
        self, cache: Cache, backend: MetadataBackend, key: str, found: Entry | None, now: float, reading: Reading
    ) -> Entry:
        """Returns a found entry as it is given out, and counts the access."""
        entry = living(cache, key, found, now)
        if reading.view is View.BASIC:
            return entry
        if not reading.wants_value(entry):
            entry = replace(entry, value=None)
        elif entry.blob is None:
            _check(cache, entry)
        elif entry.size <= MAX_INLINE_BYTES:
            entry = await self._loaded(cache, backend, entry)
        return await self._accessed(cache, backend, entry, now)

    async def _accessed(self, cache: Cache, backend: MetadataBackend, entry: Entry, now: float) -> Entry:
        if must_store(cache, entry, now):
            await backend.record([Access(cache.space, entry.key, entry.put_time, True, 1, now)])
        else:
            self._accesses.add(cache, entry, now)
        return renewed(cache, entry, now)

    async def _loaded(self, cache: Cache, backend: MetadataBackend, entry: Entry) -> Entry:
        """Returns an entry with its value from a blob.

        A blob that is missing may have been removed since the entry was read, because the entry was put anew.
        """
        blobs = self._backends.blobs(cache)
        assert entry.blob is not None
        try:
            return replace(entry, value=await blobs.load(entry.blob))
        except DamagedError as error:
            again = await backend.get(cache, entry.key, value=True)
            newer = living(cache, entry.key, again.entry, again.now)
            if newer.blob == entry.blob:
                raise _corrupt(cache, entry.key, error.cause) from error
        if newer.blob is None:
            _check(cache, newer)
            return newer
        if newer.size > MAX_INLINE_BYTES:
            return newer
        try:
            return replace(newer, value=await blobs.load(newer.blob))
        except DamagedError as error:
            raise _corrupt(cache, entry.key, error.cause) from error


def _check(cache: Cache, entry: Entry) -> None:
    """Checks a value that was stored beside its metadata."""
    assert entry.value is not None
    if checksum(entry.value) != entry.checksum:
        raise _corrupt(cache, entry.key, "checksum")


def _corrupt(cache: Cache, key: str, cause: str) -> NotFound:
    log.warning("cache.entry_corrupt", cache=cache.name, tenant=cache.tenant, cause=cause)
    return entry_corrupt(cache.name, key, cause)


def _size(result: Entry | NotFound) -> int:
    """Returns about how many bytes a result brings with it."""
    return len(result.value or b"") + len(result.metadata) if isinstance(result, Entry) else 0
