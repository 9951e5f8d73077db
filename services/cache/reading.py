"""The work behind the RPCs that read entries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from sutler.errors import NotFound
from sutler.paging import MAX_PAGE_BYTES

from services.cache.backends import Backends
from services.cache.caches import DEFAULT_INLINE_LIMIT, Cache
from services.cache.counting import Count, Counts
from services.cache.entries import MAX_INLINE_BYTES, Entry, Unreadable, living
from services.cache.faults import DamagedError, entry_changed, offset_invalid
from services.cache.forms import Form
from services.cache.giving import Giving
from services.cache.listing import Query
from services.cache.ports import MetadataBackend
from services.cache.reach import Reach
from services.cache.recent import Answer, Recent
from services.cache.results import Listed, Version
from services.cache.signing import Signer
from services.cache.values import refusal, stream_of

GROUP = 25
SMALL_GROUP = 5
"""How many keys are read at once, where inline values may be large, so that memory stays bounded."""

CHUNK = 1 << 20


class Reads:
    """Reads entries: one, some, pages, and values of any size.

    Args:
        reach: Finds caches.
        backends: Where blobs are.
        giving: Checks entries before they are given out, and counts accesses.
        signer: Checks signatures.
        counts: Counts what reads find, but not those without a value.
        recent: Keeps answers for a moment.
    """

    def __init__(
        self,
        reach: Reach,
        backends: Backends,
        giving: Giving,
        signer: Signer,
        counts: Counts,
        recent: Recent,
    ) -> None:
        self._reach = reach
        self._backends = backends
        self._giving = giving
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
                    self._giving.again(cache, [known], version.now)
                    return known.data
            found = await backend.get(cache, key, value=form.counts)
            entry = await self._giving.given(cache, backend, key, found.entry, found.now, form)
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
                    entry = await self._giving.with_value(cache, backend, entry)
            except NotFound as missing:
                self._counts.missed(cache.space, missing)
                raise
            self._counts.add(cache.space, Count.HIT)
            if etag and etag.strip('"') != entry.etag.strip('"'):
                raise entry_changed(cache.name, key)
            if offset > entry.size:
                raise offset_invalid(offset, entry.size)
            return cache, await self._giving.accessed(cache, backend, entry, found.now)

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
            self._giving.again(cache, again, version.now)
            if len(again) == len(keys):
                return [kept.data for kept in again]
            known = {kept.place[1]: kept for kept in again}
        found, now = await backend.get_many(cache, [key for key in keys if key not in known], value=form.counts)

        async def result(key: str) -> bytes | NotFound:
            if (kept := known.get(key)) is not None:
                return kept.data
            try:
                entry = await self._giving.given(cache, backend, key, found.get(key), now, form)
            except NotFound as missing:
                return missing
            data = form.encode(cache.name, entry)
            self._recent.keep(cache, form, entry, data, None if version is None else version.number, now)
            return data

        if not any(isinstance(entry, Entry) and entry.blob is not None for entry in found.values()):
            return [await result(key) for key in keys]
        return await asyncio.gather(*map(result, _fitting(keys, found, form, room)))


def _fitting(keys: Sequence[str], found: Mapping[str, Entry | Unreadable], form: Form, room: int) -> Sequence[str]:
    """Returns the first keys, up to the one whose value may be too much for a message, before blobs are read."""
    for place, key in enumerate(keys, 1):
        entry = found.get(key)
        if isinstance(entry, Entry) and entry.size <= MAX_INLINE_BYTES and form.wants_value(entry):
            room -= entry.size
        if room < 0:
            return keys[:place]
    return keys
