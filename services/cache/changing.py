"""The work behind the RPCs that put, delete, touch and count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

from sutler.errors import SutlerError, Unavailable
from sutler.idempotency import Once

from services.cache.backends import Backends
from services.cache.caches import Cache, Usage
from services.cache.changes import Decision, Draft, Remove, Row, View, delete, touch
from services.cache.counters import increment
from services.cache.counting import Count, Counts
from services.cache.entries import Blob, Entry, Unreadable, if_living
from services.cache.evicting import Evictor
from services.cache.faults import BlobGoneError, DamagedError
from services.cache.leases import Lease
from services.cache.ports import MetadataBackend
from services.cache.preparing import fits, prepared
from services.cache.publishing import Publishing
from services.cache.puts import Put, check_size, put
from services.cache.reach import Reach
from services.cache.recent import Recent
from services.cache.results import Changed, Result
from services.cache.selectors import Selector
from services.cache.signing import Signer, sha256_of

ATTEMPTS = 3
AT_ONCE = 8
"""How many blobs of one batch are written at once."""


def granted(result: Result) -> Entry:
    """Returns the entry that a change left. Raises what refused it."""
    if isinstance(result, SutlerError):
        raise result
    assert isinstance(result, Entry)
    return result


class Changes:
    """Changes entries, each call in one durable step.

    Args:
        reach: Finds caches.
        backends: Where blobs are.
        evictor: Makes room afterwards.
        signer: Signs entries.
        counts: Counts what is put and deleted, and leases that others' changes end.
        publishing: Tells of what is deleted.
        recent: Is told what changes.
    """

    def __init__(
        self,
        reach: Reach,
        backends: Backends,
        evictor: Evictor,
        signer: Signer,
        counts: Counts,
        publishing: Publishing,
        recent: Recent,
    ) -> None:
        self._reach = reach
        self._backends = backends
        self._evictor = evictor
        self._signer = signer
        self._counts = counts
        self._publishing = publishing
        self._recent = recent

    async def put(self, tenant: str, name: str, wanted: Sequence[Put]) -> Sequence[Result]:
        """Puts entries, in order; what refuses a row is its result (see :func:`services.cache.puts.put`).

        Raises:
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
            Exhausted: If a disk is full (STORAGE_FULL).
            Unavailable: If a backend does not answer.
        """

        async def change(cache: Cache, backend: MetadataBackend) -> Sequence[Result]:
            results = await self._put(cache, backend, wanted)
            self._counts.put(cache.space, results)
            return results

        return await self._reach.on(tenant, name, change)

    async def put_draft(self, tenant: str, name: str, wanted: Put, draft: Draft) -> Result:
        """Puts an entry whose value was written as a blob. Raises as :meth:`put`."""

        async def change(cache: Cache, backend: MetadataBackend) -> Result:
            try:
                changed = await self._changed(cache, backend, [put(cache, wanted, draft, self._signer)])
            except BlobGoneError as error:
                raise _too_slow() from error
            self._counts.put(cache.space, changed.results)
            await self._clean(cache, changed.results, [draft])
            return changed.results[0]

        return await self._reach.on(tenant, name, change)

    async def delete(
        self, tenant: str, name: str, rows: Sequence[tuple[str, str]], *, allow_missing: bool
    ) -> Sequence[Result]:
        """Deletes entries, each given as key and etag. Raises as :meth:`put`."""

        async def change(cache: Cache, backend: MetadataBackend) -> Sequence[Result]:
            removed: dict[int, bool] = {}
            wanted = [delete(cache, *row, allow_missing) for row in rows]
            noted = [_noted(row, partial(removed.__setitem__, index)) for index, row in enumerate(wanted)]
            results = await self._change(cache, backend, noted)
            keys = tuple(row.key for index, row in enumerate(wanted) if removed[index])
            if keys:
                self._counts.add(cache.space, Count.DELETE, len(keys))
                await self._publishing.tell(cache, Selector(keys=keys), len(keys))
            return results

        return await self._reach.on(tenant, name, change)

    async def delete_one(
        self, tenant: str, name: str, key: str, etag: str, *, allow_missing: bool, validate_only: bool
    ) -> None:
        """Deletes an entry, or only checks whether it could be deleted.

        Raises:
            NotFound: If there is none, unless that is allowed, or no such cache.
            Conflict: If it has another etag.
            Exhausted, Unavailable: As :meth:`put`.
        """

        async def look(cache: Cache, backend: MetadataBackend) -> None:
            found = await backend.get(cache, key, value=False)
            delete(cache, key, etag, allow_missing).decide(_Seen(found.entry, found.now))

        if validate_only:
            await self._reach.on(tenant, name, look)
            return
        [result] = await self.delete(tenant, name, [(key, etag)], allow_missing=allow_missing)
        if isinstance(result, SutlerError):
            raise result

    async def touch(self, tenant: str, name: str, rows: Sequence[tuple[str, float | None, str]]) -> Sequence[Result]:
        """Touches entries, each given as key, ttl and etag. Raises as :meth:`put`."""

        async def change(cache: Cache, backend: MetadataBackend) -> Sequence[Result]:
            return await self._change(cache, backend, [touch(cache, *row, self._signer) for row in rows])

        return await self._reach.on(tenant, name, change)

    async def increment(
        self,
        tenant: str,
        name: str,
        key: str,
        *,
        delta: int,
        initial: int,
        ttl: float | None,
        seed: str,
        once: Once | None,
    ) -> Result:
        """Adds to a counter; what refuses it is the result (see :func:`services.cache.counters.increment`).

        Raises:
            NotFound, Exhausted, Unavailable: As :meth:`put`.
        """

        async def change(cache: Cache, backend: MetadataBackend) -> Result:
            row = increment(cache, key, delta, initial, ttl, seed, self._signer)
            return (await self._change(cache, backend, [row], once))[0]

        return await self._reach.on(tenant, name, change)

    async def _change(
        self, cache: Cache, backend: MetadataBackend, rows: Sequence[Row], once: Once | None = None
    ) -> Sequence[Result]:
        return (await self._changed(cache, backend, rows, once)).results

    async def _changed(
        self, cache: Cache, backend: MetadataBackend, rows: Sequence[Row], once: Once | None = None
    ) -> Changed:
        changed = await backend.change(cache, rows, once)
        self._recent.changed(cache, changed.versions, [row.key for row in rows])
        self._counts.lost(cache.space, changed.lost_leases)
        self._evictor.notice(cache, changed.usage)
        return changed

    async def _put(self, cache: Cache, backend: MetadataBackend, wanted: Sequence[Put]) -> Sequence[Result]:
        wanted = await prepared(cache, wanted)
        if all(fits(cache, each) for each in wanted):
            return await self._change(cache, backend, [put(cache, each, signer=self._signer) for each in wanted])
        for _ in range(ATTEMPTS):
            rows, drafts = await self._rows(cache, backend, wanted)
            try:
                changed = await self._changed(cache, backend, rows)
            except BlobGoneError:
                continue
            await self._clean(cache, changed.results, drafts)
            return changed.results
        raise _too_slow()

    async def _rows(
        self, cache: Cache, backend: MetadataBackend, wanted: Sequence[Put]
    ) -> tuple[list[Row], list[Draft | None]]:
        """Writes large values as blobs and returns the changes that put them, each with its draft."""
        few = asyncio.Semaphore(AT_ONCE)

        async def draft(each: Put) -> Draft | None:
            if fits(cache, each):
                return None
            async with few:
                return await self._written(cache, backend, each)

        drafts = await asyncio.gather(*map(draft, wanted))
        rows = [
            put(cache, each if made is None else _in_blob(each, made.blob), made, self._signer)
            for each, made in zip(wanted, drafts, strict=True)
        ]
        return rows, drafts

    async def _written(self, cache: Cache, backend: MetadataBackend, wanted: Put) -> Draft | None:
        """Returns the blob of a value: an equal one that is whole, or one that is written now."""
        assert wanted.content is not None
        value = wanted.content.value
        assert value is not None
        try:
            check_size(cache, len(value))
        except SutlerError:
            return None  # the put itself will refuse it, in its turn
        sha256 = await asyncio.to_thread(sha256_of, value)
        known = await backend.blob(cache, sha256)
        if known is not None and await self._is_whole(cache, known, value):
            return Draft(replace(known, locator=""), 0.0)
        return await self._backends.blobs(cache).store(cache.tenant, value, cache.packing(len(value)))

    async def _is_whole(self, cache: Cache, blob: Blob, value: bytes) -> bool:
        try:
            return await self._backends.blobs(cache).load(blob) == value
        except DamagedError:
            return False

    async def _clean(self, cache: Cache, results: Sequence[Result], drafts: Sequence[Draft | None]) -> None:
        """Removes files that were written for rows that did not take them; what fails here, the sweep does."""
        for result, draft in zip(results, drafts, strict=True):
            if draft is None or not draft.blob.locator:
                continue
            taken = isinstance(result, Entry) and result.blob and result.blob.locator == draft.blob.locator
            if not taken:
                with suppress(SutlerError):
                    await self._backends.blobs(cache).delete(draft.blob.locator)


def _noted(row: Row, note: Callable[[bool], None]) -> Row:
    """Returns a change that notes, whenever it is decided, whether it removes a living entry."""

    def decide(view: View) -> Decision:
        note(False)
        decision = row.decide(view)
        note(isinstance(decision, Remove) and if_living(decision.entry, view.now) is not None)
        return decision

    return replace(row, decide=decide)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look at one key gave, for a decision that only looks at the entry."""

    entry: Entry | Unreadable | None
    now: float
    lease: Lease | None = None
    usage: Usage = field(default_factory=Usage)

    def blob(self, sha256: str) -> Blob | None:
        return None


def _in_blob(wanted: Put, blob: Blob) -> Put:
    assert wanted.content is not None
    return replace(wanted, content=replace(wanted.content, value=None, blob=blob))


def _too_slow() -> Unavailable:
    return Unavailable(
        "the value was written, but too slowly to be put; try again",
        reason="STORAGE_UNAVAILABLE",
        metadata={"cause": "blob removed meanwhile"},
        retry_after=timedelta(seconds=1),
    )
