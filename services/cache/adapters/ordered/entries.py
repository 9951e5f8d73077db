"""The metadata backend over any ordered store."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from sutler.backends import OrderedStore
from sutler.errors import SutlerError
from sutler.idempotency import Once
from sutler.store import Changes
from sutler.store.clock import Clock
from sutler.tails import Log

from services.cache.accesses import Access
from services.cache.adapters.ordered import (
    answers,
    finding,
    garbage,
    invalidating,
    keys,
    looking,
    mending,
    rounds,
    sweeping,
    writing,
)
from services.cache.adapters.ordered.feed import Feed
from services.cache.adapters.ordered.line import Lines
from services.cache.adapters.ordered.records import load_blob, load_space
from services.cache.adapters.ordered.spaces import room_of
from services.cache.adapters.ordered.steps import Step
from services.cache.caches import Cache, Usage
from services.cache.changes import Row
from services.cache.entries import Blob, Entry, Unreadable
from services.cache.listing import Query, check_filter
from services.cache.results import Changed, Discarded, Found, Listed, Swept
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Invalidation, Scope


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
        self._lines = Lines(store, self._clock, self._changes.bump)
        self.answers = answers.OrderedAnswers(store, self._clock)
        store.listen(self._changes.bump)

    @property
    def changes(self) -> Changes:
        """Wakes those who wait for changes."""
        return self._changes

    async def get(self, cache: Cache, key: str, *, value: bool, lease: bool = False) -> Found:
        """Returns what stands under a key."""
        return await finding.one(self._store, self._clock, cache, key, value=value, lease=lease)

    async def get_many(
        self, cache: Cache, names: Sequence[str], *, value: bool
    ) -> tuple[Mapping[str, Entry | Unreadable], float]:
        """Returns what stands under several keys."""
        return await finding.some(self._store, self._clock, cache, names, value=value)

    async def version(self, cache: Cache) -> None:
        """Returns None: changes are not numbered."""

    async def change(self, cache: Cache, rows: Sequence[Row], once: Once | None = None) -> Changed:
        """Makes changes in one commit."""

        def work(step: Step) -> Changed:
            answers.check_new(step, once)
            changed = writing.change(step, cache, list(rows))
            if not isinstance(changed.results[0], SutlerError):
                answers.remember(step, once, changed.results[0], self._keep)
            return changed

        return await self._lines.run(cache.tenant, work, [*writing.wanted(cache, list(rows)), *answers.wanted(once)])

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
    ) -> Discarded:
        """Removes selected entries, or lets them expire."""
        return await self._lines.run(
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
    ) -> int:
        """Tells followers what to forget, ends leases, and remembers the answer to a request."""

        def work(step: Step) -> int:
            answers.check_new(step, once)
            ended = invalidating.announce(step, cache, scopes, cause, ending)
            answers.remember(step, once, result, self._keep)
            return ended

        return await self._lines.run(cache.tenant, work, [keys.space(cache.space), *answers.wanted(once)])

    async def follow(self, cache: Cache) -> None:
        """Has changes of the cache told for the next minute."""

        def work(step: Step) -> None:
            room = room_of(step, cache)
            room.follow()
            room.save()

        await self._lines.run(cache.tenant, work, [keys.space(cache.space)])

    def feed(self, cache: Cache) -> Log[Invalidation]:
        """Returns what followers of a cache are told."""
        return Feed(self._store, cache.space)

    async def inspect(self, cache: Cache, after: str, limit: int) -> Sequence[Entry | Unreadable]:
        """Returns entries with their values."""
        return await looking.inspect(self._store, cache, after, limit)

    async def recount(self, cache: Cache, *, repair: bool) -> Sequence[str]:
        """Compares the usage and the tags that are kept with the entries."""
        return await mending.recount(self._store, self._lines, cache, repair=repair)

    async def data_types(self, tenant: str, gone: Collection[int]) -> Mapping[str, int]:
        """Returns how many entries of a tenant have each data type."""
        return await looking.data_types(self._store, tenant, gone)

    async def record(self, accesses: Sequence[Access]) -> None:
        """Adds accesses to their entries."""
        await rounds.record(self._store, self._lines, accesses)

    async def blob(self, cache: Cache, sha256: str) -> Blob | None:
        """Returns a blob of the tenant."""
        [record] = await self._store.get([keys.blob(cache.tenant, cache.rules.blob_backend, sha256)])
        stored = load_blob(record)
        return None if stored is None else stored.blob

    async def usage(self, cache: Cache) -> Usage:
        """Returns what a cache takes."""
        [record] = await self._store.get([keys.space(cache.space)])
        return Usage() if record is None else load_space(record).usage

    async def evict(self, cache: Cache) -> Swept:
        """Removes entries of a cache that is over a limit."""
        return await self._lines.run(cache.tenant, lambda step: sweeping.evict(step, cache), [keys.space(cache.space)])

    async def expire(self) -> Swept:
        """Removes what is over, some of each tenant."""
        return await rounds.expire(self._store, self._lines, self._clock())

    async def drop(self, space: int) -> bool:
        """Removes entries of a deleted cache."""
        [record] = await self._store.get([keys.space(space)])
        if record is None:
            return False
        return await self._lines.run(load_space(record).tenant, lambda step: sweeping.drop(step, space))

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache."""
        [record] = await self._store.get([keys.space(space)])
        if record is not None and not load_space(record).usage.entries:
            await self._lines.run(load_space(record).tenant, lambda step: step.delete(keys.space(space)))

    async def garbage(self, blob_backend: str, limit: int) -> Sequence[str]:
        """Returns blobs that nobody refers to."""
        return await garbage.some(self._store, blob_backend, self._clock() - self._grace, limit)

    async def collected(self, locators: Sequence[str]) -> None:
        """Forgets blobs that were removed."""
        await garbage.collected(self._store, locators)

    async def known(self, locators: Sequence[str]) -> set[str]:
        """Returns which locators are in use."""
        return await garbage.known(self._store, locators)

    async def moved(self, cache: Cache) -> None:
        """Makes a commit, which wakes those who wait."""
        await self._lines.run(cache.tenant, lambda step: room_of(step, cache).save_anyway(), [keys.space(cache.space)])

    async def health(self) -> None:
        """Returns if the store answers."""
        await self._store.health()
