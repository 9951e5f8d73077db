"""The metadata backend over any ordered store."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

from sutler.backends import OrderedStore
from sutler.errors import SutlerError
from sutler.idempotency import Once
from sutler.store import Changes
from sutler.store.clock import Clock
from sutler.tails import Log

from services.cache.accesses import Access
from services.cache.adapters.ordered import invalidating, keys, looking, mending, sweeping, writing
from services.cache.adapters.ordered.feed import Feed
from services.cache.adapters.ordered.line import Line
from services.cache.adapters.ordered.records import Held, load_answer, load_blob, load_entry, load_lease, load_space
from services.cache.adapters.ordered.spaces import check_new, remember, room_of
from services.cache.adapters.ordered.steps import PAGE, Step
from services.cache.caches import Cache, Usage
from services.cache.changes import Row
from services.cache.entries import Blob, Entry
from services.cache.listing import Query, check_filter
from services.cache.results import Changed, Found, Listed, Swept, Unreadable
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Invalidation, Scope

T = TypeVar("T")

MAX_LINES = 1000
"""How many tenants' lines are kept while nothing waits in them."""


class OrderedEntries:
    """Entries in an ordered store. See :class:`services.cache.ports.MetadataBackend`.

    It does not know whether a cache was changed or deleted: whoever uses it asks the catalogue first.

    Args:
        store: Where.
        keep: How long answers of repeated requests are remembered.
        grace: Seconds that a blob stays after its last reference went, for reads that are about to open it.
        clock: The time, in seconds since 1970.

    Attributes:
        answers: The first answers to requests.
    """

    def __init__(
        self, store: OrderedStore, keep: timedelta, grace: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._keep = keep.total_seconds()
        self._grace = grace
        self._clock = Clock(clock).now
        self._changes = Changes()
        self._lines: dict[str, Line] = {}
        self.answers = OrderedAnswers(store, self._clock)
        store.listen(self._changes.bump)

    @property
    def changes(self) -> Changes:
        """Wakes those who wait for changes."""
        return self._changes

    async def get(self, cache: Cache, key: str, *, value: bool, lease: bool = False) -> Found:
        """Returns what stands under a key."""
        wanted = [keys.entry(cache.space, key)]
        wanted += [keys.value(cache.space, key)] if value else []
        wanted += [keys.lease(cache.space, key)] if lease else []
        record, *more = await self._store.get(wanted)
        held = more.pop() if lease else None
        now = self._clock()
        given = None if held is None else load_lease(key, held)
        living = given if given is not None and given.alive(now) else None
        if record is None:
            return Found(None, now, living)
        [entry] = await self._whole(cache, [load_entry(key, record)])
        if value and entry.blob is None:
            entry = replace(entry, value=more[0] or b"")
        return Found(entry, now, living)

    async def get_many(self, cache: Cache, names: Sequence[str], *, value: bool) -> tuple[Mapping[str, Entry], float]:
        """Returns what stands under several keys."""
        wanted = [keys.entry(cache.space, key) for key in names]
        if value:
            wanted += [keys.value(cache.space, key) for key in names]
        found = await self._store.get(wanted)
        now = self._clock()
        count = len(names)
        return await self._entries(cache, names, found[:count], found[count:] if value else None), now

    async def _entries(
        self, cache: Cache, names: Sequence[str], found: Sequence[bytes | None], values: Sequence[bytes | None] | None
    ) -> Mapping[str, Entry]:
        """Returns the entries in records, with their values if they were read."""
        held = [load_entry(key, record) for key, record in zip(names, found, strict=True) if record is not None]
        entries = {entry.key: entry for entry in await self._whole(cache, held)}
        for key, stored in zip(names, values, strict=True) if values is not None else ():
            if key in entries and entries[key].blob is None:
                entries[key] = replace(entries[key], value=stored or b"")
        return entries

    async def change(self, cache: Cache, rows: Sequence[Row], once: Once | None = None) -> Changed:
        """Makes changes in one commit."""

        def work(step: Step) -> Changed:
            check_new(step, once)
            changed = writing.change(step, cache, list(rows))
            if not isinstance(changed.results[0], SutlerError):
                remember(step, once, changed.results[0], self._keep)
            return changed

        return await self._run(cache.tenant, work, [*writing.wanted(cache, list(rows)), *_request(once)])

    async def page(self, cache: Cache, query: Query) -> Listed:
        """Returns one page of entries."""
        check_filter(query.filter)
        return await looking.page(self._store, cache, query, self._clock())

    async def select(self, cache: Cache, selector: Selector, after: str, limit: int, *, living: bool) -> Sequence[Mark]:
        """Returns entries that an invalidation means."""
        if selector.filter is not None:
            check_filter(selector.filter)
        return await looking.select(self._store, cache, selector, after, limit, self._clock(), living=living)

    async def discard(
        self, cache: Cache, marks: Sequence[Mark], *, expire_only: bool, cause: Cause | None = None
    ) -> int:
        """Removes selected entries, or lets them expire."""
        return await self._run(
            cache.tenant,
            lambda step: invalidating.discard(step, cache, marks, expire_only=expire_only, cause=cause),
            [keys.space(cache.space), *(keys.entry(cache.space, mark.key) for mark in marks)],
        )

    async def announce(
        self,
        cache: Cache,
        scopes: Sequence[tuple[Scope, str]],
        cause: Cause,
        *,
        ending: Selector | None = None,
        once: Once | None = None,
        result: object = None,
    ) -> None:
        """Tells followers what to forget, ends leases, and remembers the answer to a request."""

        def work(step: Step) -> None:
            check_new(step, once)
            invalidating.announce(step, cache, scopes, cause, ending)
            remember(step, once, result, self._keep)

        await self._run(cache.tenant, work, [keys.space(cache.space), *_request(once)])

    async def follow(self, cache: Cache) -> None:
        """Has changes of the cache told for the next minute."""

        def work(step: Step) -> None:
            room = room_of(step, cache)
            room.follow()
            room.save()

        await self._run(cache.tenant, work, [keys.space(cache.space)])

    def feed(self, cache: Cache) -> Log[Invalidation]:
        """Returns what followers of a cache are told."""
        return Feed(self._store, cache.space)

    async def inspect(self, cache: Cache, after: str, limit: int) -> Sequence[Entry | Unreadable]:
        """Returns entries with their values."""
        return await looking.inspect(self._store, cache, after, limit)

    async def recount(self, cache: Cache, *, repair: bool) -> Sequence[str]:
        """Compares the usage and the tags that are kept with the entries."""
        wrong = await mending.compare(self._store, cache)
        if repair and wrong.words():
            await self._run(cache.tenant, lambda step: mending.repair(step, cache, wrong))
        return wrong.words()

    async def data_types(self, tenant: str) -> Mapping[str, int]:
        """Returns how many entries of a tenant have each data type."""
        start, counts = keys.data_types(tenant), dict[str, int]()
        async for found in looking.records(self._store, start, keys.below(start)):
            counts |= {keys.text(key[len(start) :]): int(count) for key, count in found}
        return counts

    async def record(self, accesses: Sequence[Access]) -> None:
        """Adds accesses to their entries."""
        spaces = sorted({access.space for access in accesses})
        found = await self._store.get([keys.space(space) for space in spaces])
        tenants = {s: load_space(record).tenant for s, record in zip(spaces, found, strict=True) if record is not None}
        for tenant in sorted(set(tenants.values())):
            theirs = [access for access in accesses if tenants.get(access.space) == tenant]
            await self._run(
                tenant,
                lambda step, theirs=theirs: sweeping.record(step, theirs),  # type: ignore[misc]
                [keys.entry(access.space, access.key) for access in theirs],
            )

    async def blob(self, cache: Cache, sha256: str) -> Blob | None:
        """Returns a blob of the tenant."""
        [record] = await self._store.get([keys.blob(cache.tenant, cache.rules.blob_backend, sha256)])
        return None if record is None else load_blob(record).blob

    async def usage(self, cache: Cache) -> Usage:
        """Returns what a cache takes."""
        [record] = await self._store.get([keys.space(cache.space)])
        return Usage() if record is None else load_space(record).usage

    async def evict(self, cache: Cache) -> Swept:
        """Removes entries of a cache that is over a limit."""
        return await self._run(cache.tenant, lambda step: sweeping.evict(step, cache), [keys.space(cache.space)])

    async def expire(self) -> Swept:
        """Removes what is over, some of each tenant."""
        due = await self._store.scan(keys.DUE, keys.due_until(self._clock()), PAGE)
        counts: dict[int, int] = {}
        for tenant in sorted({owner for _, owner in due}):
            theirs = [key for key, owner in due if owner == tenant]
            counts |= await self._run(
                tenant.decode(),
                lambda step, theirs=theirs: sweeping.expire(step, theirs),  # type: ignore[misc]
                [*theirs, *map(keys.due_record, theirs)],
            )
        return Swept(counts, len(due) == PAGE)

    async def drop(self, space: int) -> bool:
        """Removes entries of a deleted cache."""
        [record] = await self._store.get([keys.space(space)])
        if record is None:
            return False
        return await self._run(load_space(record).tenant, lambda step: sweeping.drop(step, space))

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache."""
        [record] = await self._store.get([keys.space(space)])
        if record is not None and not load_space(record).usage.entries:
            await self._run(load_space(record).tenant, lambda step: step.delete(keys.space(space)))

    async def garbage(self, limit: int) -> list[tuple[str, str]]:
        """Returns blobs that nobody refers to."""
        found = await self._store.scan(keys.GARBAGE, keys.garbage_until(self._clock() - self._grace), limit)
        return [(backend.decode(), keys.garbage_locator(key)) for key, backend in found]

    async def collected(self, locators: Sequence[str]) -> None:
        """Forgets blobs that were removed."""
        names = [keys.locator(name) for name in locators]
        while True:
            found = {
                name: stored
                for name, stored in zip(names, await self._store.get(names), strict=True)
                if stored is not None and stored.startswith(keys.GARBAGE)
            }
            if not found or await self._store.commit(
                next(iter(found.items())), dict.fromkeys([*found, *found.values()])
            ):
                return

    async def known(self, locators: Sequence[str]) -> set[str]:
        """Returns which locators are in use."""
        found = await self._store.get([keys.locator(name) for name in locators])
        return {name for name, record in zip(locators, found, strict=True) if record is not None}

    async def health(self) -> None:
        """Returns if the store answers."""
        await self._store.health()

    async def _whole(self, cache: Cache, held: Sequence[Held]) -> list[Entry]:
        return await looking.with_blobs(self._store, cache, held)

    async def _run(self, tenant: str, work: Callable[[Step], T], reads: Collection[bytes] = ()) -> T:
        line = self._lines.get(tenant)
        if line is None:
            if len(self._lines) >= MAX_LINES:
                self._lines = {name: line for name, line in self._lines.items() if not line.idle}
            line = self._lines[tenant] = Line(self._store, tenant, self._clock, self._changes.bump)
        return await line.run(work, reads)


def _request(once: Once | None) -> list[bytes]:
    return [] if once is None else [keys.request(once.tenant, once.method, once.request_id)]


class OrderedAnswers:
    """First answers to requests, in an ordered store.

    Args:
        store: Where.
        clock: The time, in seconds since 1970.
    """

    def __init__(self, store: OrderedStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def find(self, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
        """Returns the hash of a request and its first answer, or None."""
        [record] = await self._store.get([keys.request(tenant, method, request_id)])
        known = None if record is None else load_answer(record)
        return None if known is None or known.expire_time <= self._clock() else (known.hash, known.answer)
