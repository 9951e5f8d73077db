"""The work behind the RPCs that read entries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from sutler.errors import NotFound
from sutler.paging import MAX_PAGE_BYTES

from services.cache.accesses import Access, Accesses, must_store, renewed
from services.cache.backends import Backends
from services.cache.caches import DEFAULT_INLINE_LIMIT, Cache, Compression
from services.cache.counting import Count, Counts
from services.cache.entries import MAX_INLINE_BYTES, Entry, Unreadable, living
from services.cache.faults import DamagedError, entry_changed, offset_invalid
from services.cache.forms import Form
from services.cache.listing import Query
from services.cache.ports import MetadataBackend
from services.cache.reach import Reach
from services.cache.recent import Answer, Recent
from services.cache.results import Listed, Version
from services.cache.signing import Signer
from services.cache.values import refusal, stream_of, value_of

GROUP = 25
SMALL_GROUP = 5
"""How many keys are read at once, where inline values may be large, so that memory stays bounded."""

CHUNK = 1 << 20


class Reads:
    """Reads entries. Every way to an entry asks whether it is alive, signed right, and whether its value is whole.

    Args:
        reach: Finds caches.
        backends: Where blobs are.
        accesses: Remembers what was read.
        signer: Checks signatures.
        counts: Counts what reads find, but not those without a value.
        recent: Keeps answers for a moment.
    """

    def __init__(
        self,
        reach: Reach,
        backends: Backends,
        accesses: Accesses,
        signer: Signer,
        counts: Counts,
        recent: Recent,
    ) -> None:
        self._reach = reach
        self._backends = backends
        self._accesses = accesses
        self._signer = signer
        self._counts = counts
        self._recent = recent

    async def answer(self, tenant: str, name: str, key: str, form: Form) -> bytes:
        """Returns an entry in a form, with its value if that is wanted and at most 1 MiB.

        Raises:
            NotFound: If there is none: CACHE_NOT_FOUND, ENTRY_NOT_FOUND, ENTRY_EXPIRED, ENTRY_CORRUPT,
                SIGNATURE_INVALID.
        """

        async def read(cache: Cache, backend: MetadataBackend) -> bytes:
            if self._recent.has(cache, form, key):
                version = await backend.version(cache)
                known = self._recent.right(cache, form, version).get(key)
                if version is not None and known is not None and known.until > version.now:
                    self._given_again(cache, [known], version.now)
                    return known.data
            found = await backend.get(cache, key, value=form.counts)
            entry = await self._given(cache, backend, key, found.entry, found.now, form)
            data = form.encode(cache.name, entry)
            self._recent.keep(cache, form, entry, data, found.version, found.now)
            return data

        return await self._reach.on(tenant, name, read)

    async def answers(self, tenant: str, name: str, keys: Sequence[str], form: Form) -> list[bytes | NotFound]:
        """Returns an entry in a form, or the reason why there is none, for each key; for the first keys only, but at
        least one, if the answers are more than a message holds.

        Raises:
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
        """

        async def read(cache: Cache, backend: MetadataBackend) -> list[bytes | NotFound]:
            version = await backend.version(cache) if form.lasting else None
            right = self._recent.right(cache, form, version)
            results: list[bytes | NotFound] = []
            total, size = 0, GROUP if cache.inline_limit <= DEFAULT_INLINE_LIMIT else SMALL_GROUP
            for start in range(0, len(keys), size):
                group = keys[start : start + size]
                given = await self._group(cache, backend, group, form, right, version, MAX_PAGE_BYTES - total)
                results += given
                total += sum(len(result) for result in given if isinstance(result, bytes))
                if len(given) < len(group) or total > MAX_PAGE_BYTES:
                    break
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
            NotFound: As :meth:`answer`; after the first chunk if a later one is corrupt, or the value was altered.
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

    async def _group(
        self,
        cache: Cache,
        backend: MetadataBackend,
        keys: Sequence[str],
        form: Form,
        right: Mapping[str, Answer],
        version: Version | None,
        room: int,
    ) -> list[bytes | NotFound]:
        """Returns the answers for up to 25 keys, or for the first of them if their values take more than the room: of
        those that are right as they were given, and of looks. Blobs are read together."""
        known: dict[str, Answer] = {}
        if version is not None:
            again = [kept for key in keys if (kept := right.get(key)) is not None and kept.until > version.now]
            self._given_again(cache, again, version.now)
            if len(again) == len(keys):
                return [kept.data for kept in again]
            known = {kept.place[1]: kept for kept in again}
        found, now = await backend.get_many(cache, [key for key in keys if key not in known], value=form.counts)

        async def result(key: str) -> bytes | NotFound:
            if (kept := known.get(key)) is not None:
                return kept.data
            try:
                entry = await self._given(cache, backend, key, found.get(key), now, form)
            except NotFound as missing:
                return missing
            data = form.encode(cache.name, entry)
            self._recent.keep(cache, form, entry, data, None if version is None else version.number, now)
            return data

        if not any(isinstance(entry, Entry) and entry.blob is not None for entry in found.values()):
            return [await result(key) for key in keys]
        return await asyncio.gather(*map(result, _fitting(keys, found, form, room)))

    def _given_again(self, cache: Cache, answers: Sequence[Answer], now: float) -> None:
        """Counts accesses to entries that are answered as they were a moment ago."""
        self._counts.add(cache.space, Count.HIT, len(answers))
        self._accesses.add_all(cache, [answer.place for answer in answers], now)

    async def _given(
        self, cache: Cache, backend: MetadataBackend, key: str, found: Entry | Unreadable | None, now: float, form: Form
    ) -> Entry:
        """Returns a found entry as it is given out, and counts the access."""
        if not form.counts:
            return self._signer.checked(cache, living(cache, key, found, now))
        try:
            entry = living(cache, key, found, now)
            if form.wants_value(entry):
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


def _fitting(keys: Sequence[str], found: Mapping[str, Entry | Unreadable], form: Form, room: int) -> Sequence[str]:
    """Returns the first keys, up to the one whose value may be too much for a message, before blobs are read."""
    for place, key in enumerate(keys, 1):
        entry = found.get(key)
        if isinstance(entry, Entry) and entry.size <= MAX_INLINE_BYTES and form.wants_value(entry):
            room -= entry.size
        if room < 0:
            return keys[:place]
    return keys
