"""The work behind the RPCs that read entries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from sutler.errors import NotFound
from sutler.paging import MAX_PAGE_BYTES

from services.cache.accesses import Access, Accesses, must_store, renewed
from services.cache.backends import Backends
from services.cache.caches import DEFAULT_INLINE_LIMIT, Cache, Compression
from services.cache.counting import Count, Counts
from services.cache.entries import MAX_INLINE_BYTES, Entry, living
from services.cache.faults import DamagedError, entry_changed, offset_invalid
from services.cache.listing import Query
from services.cache.ports import MetadataBackend
from services.cache.reach import Reach
from services.cache.results import Listed
from services.cache.signing import Signer
from services.cache.values import refusal, stream_of, value_of

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
    """Reads entries. Every way to an entry asks whether it is alive, signed right, and whether its value is whole.

    Args:
        reach: Finds caches.
        backends: Where blobs are.
        accesses: Remembers what was read.
        signer: Checks signatures.
        counts: Counts what reads find, but not those without a value.
    """

    def __init__(self, reach: Reach, backends: Backends, accesses: Accesses, signer: Signer, counts: Counts) -> None:
        self._reach = reach
        self._backends = backends
        self._accesses = accesses
        self._signer = signer
        self._counts = counts

    async def get(self, tenant: str, name: str, key: str, reading: Reading) -> Entry:
        """Returns an entry, with its value if that is wanted and at most 1 MiB.

        Raises:
            NotFound: If there is none: CACHE_NOT_FOUND, ENTRY_NOT_FOUND, ENTRY_EXPIRED, ENTRY_CORRUPT,
                SIGNATURE_INVALID.
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
        """Returns one page of living entries, without their values; tells those that are not to be given out.

        Raises:
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
        """

        async def read(cache: Cache, backend: MetadataBackend) -> Listed:
            listed = await backend.page(cache, query)
            if not cache.rules.signing:
                return replace(listed, entries=[self._signer.checked(cache, entry) for entry in listed.entries])
            refused = {place for place, entry in enumerate(listed.entries) if self._signer.fault(cache, entry)}
            entries = [replace(entry, verified=place not in refused) for place, entry in enumerate(listed.entries)]
            return replace(listed, entries=entries, refused=frozenset(refused))

        return await self._reach.on(tenant, name, read)

    async def stream(
        self, tenant: str, name: str, key: str, offset: int, limit: int, etag: str
    ) -> AsyncIterator[Entry | bytes]:
        """Yields an entry, then its value from ``offset`` on, ``limit`` bytes or all, in chunks of at most 1 MiB.

        Where the cache signs, the last chunk comes when the whole value has the SHA-256 that was signed.

        Raises:
            NotFound: As :meth:`get`; after the first chunk if a later one is corrupt, or the value was altered.
            Conflict: If the entry has another etag than the caller knows.
            OutOfRange: If the offset is past the end (OFFSET_INVALID).
        """

        async def begin(cache: Cache, backend: MetadataBackend) -> tuple[Cache, Entry]:
            found = await backend.get(cache, key, value=True)
            try:
                entry = self._signer.checked(cache, living(cache, key, found.entry, found.now))
                if entry.blob is None:
                    entry = await self._with_value(cache, backend, entry)
            except NotFound as missing:
                self._counts.missed(cache.space, missing)
                raise
            self._counts.add(cache.space, Count.HIT)
            if etag and etag.strip('"') != entry.etag.strip('"'):
                raise entry_changed(cache.name, key)
            if offset > entry.size:
                raise offset_invalid(offset, entry.size)
            return cache, await self.accessed(cache, backend, entry, found.now)

        cache, entry = await self._reach.on(tenant, name, begin)
        yield replace(entry, value=None)
        if entry.blob is None:
            assert entry.value is not None
            end = min(entry.size, offset + limit) if limit else entry.size
            for start in range(offset, end, CHUNK):
                yield entry.value[start : min(start + CHUNK, end)]
            return
        try:
            async for data in stream_of(entry, self._backends.blobs(cache), offset, limit):
                yield data
        except DamagedError as error:
            told = refusal(cache, key, error)
            self._counts.missed(cache.space, told)
            raise told from error

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
        if reading.view is View.BASIC:
            return self._signer.checked(cache, living(cache, key, found, now))
        try:
            entry = living(cache, key, found, now)
            if reading.wants_value(entry):
                entry = await self.whole(cache, backend, entry)
            else:
                entry = replace(self._signer.checked(cache, entry), value=None)
        except NotFound as missing:
            self._counts.missed(cache.space, missing)
            raise
        self._counts.add(cache.space, Count.HIT)
        return await self.accessed(cache, backend, entry, now)

    async def whole(self, cache: Cache, backend: MetadataBackend, entry: Entry) -> Entry:
        """Returns an entry that was read with its value as it is given out: checked, and with a value from a blob.

        Raises:
            NotFound: If it cannot be given out (ENTRY_CORRUPT, SIGNATURE_INVALID), or has gone meanwhile.
        """
        entry = self._signer.checked(cache, entry)
        if entry.blob is None or entry.size <= MAX_INLINE_BYTES:
            return await self._with_value(cache, backend, entry)
        return entry

    async def accessed(self, cache: Cache, backend: MetadataBackend, entry: Entry, now: float) -> Entry:
        """Counts an access to a living entry, and returns it with the life that it has now."""
        if must_store(cache, entry, now):
            await backend.record([Access(cache.space, entry.key, entry.put_time, True, 1, now, cache.by_frequency)])
        else:
            self._accesses.add(cache, entry, now)
        return renewed(cache, entry, now)

    async def _with_value(self, cache: Cache, backend: MetadataBackend, entry: Entry) -> Entry:
        """Returns an entry with its value as it was put.

        A blob that is missing may have been removed since the entry was read, because the entry was put anew.
        """
        blobs = self._backends.blobs(cache)
        try:
            return _with(entry, await value_of(entry, blobs))
        except DamagedError as error:
            if entry.blob is None:
                raise refusal(cache, entry.key, error) from error
            again = await backend.get(cache, entry.key, value=True)
            newer = self._signer.checked(cache, living(cache, entry.key, again.entry, again.now))
            if newer.blob == entry.blob:
                raise refusal(cache, entry.key, error) from error
        if newer.size > MAX_INLINE_BYTES:
            return newer
        try:
            return _with(newer, await value_of(newer, blobs))
        except DamagedError as error:
            raise refusal(cache, entry.key, error) from error


def _with(entry: Entry, value: bytes) -> Entry:
    return entry if value is entry.value else replace(entry, value=value, packing=Compression.NONE)


def _size(result: Entry | NotFound) -> int:
    """Returns about how many bytes a result brings with it."""
    return len(result.value or b"") + len(result.metadata) if isinstance(result, Entry) else 0
