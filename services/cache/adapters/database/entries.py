"""The metadata backend in the service's own database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from sutler.errors import SutlerError
from sutler.idempotency import Once
from sutler.store import Database, Transaction
from sutler.store.requests import remember
from sutler.tails import Log, Signal

from services.cache.accesses import Access
from services.cache.adapters.database import (
    blobs,
    feed,
    inspecting,
    leases,
    recounting,
    rows,
    selecting,
    sweeping,
    totals,
    writing,
)
from services.cache.adapters.database.versions import Versions
from services.cache.caches import Cache, Usage
from services.cache.changes import Row
from services.cache.entries import Blob, Entry, Unreadable
from services.cache.listing import Query, check_filter
from services.cache.results import Changed, Discarded, Found, Listed, Swept, Version
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Invalidation, Scope

QUICK_ROWS = 8
"""Up to how many rows are changed on the event loop; each takes some 0.1 ms. Where nothing is evicted a put may first
have to remove what has expired, which takes longer."""


class DatabaseEntries:
    """Entries in the tables beside the catalogue. See :class:`services.cache.ports.MetadataBackend`.

    Args:
        database: Where.
        keep: How long answers of repeated requests are remembered.
        grace: Seconds that a blob stays after its last reference went, for reads that are about to open it.
    """

    def __init__(self, database: Database, keep: timedelta, grace: float) -> None:
        self._db = database
        self._keep = keep
        self._grace = grace
        self._versions = Versions(database)

    async def get(self, cache: Cache, key: str, *, value: bool, lease: bool = False) -> Found:
        """Returns what stands under a key."""
        if lease:
            return await self._db.read(lambda tx: rows.leased(tx, cache, key))
        now = self._db.now()
        return rows.to_found(cache, await self._db.one(*rows.one(cache, key, value=value)), now)

    async def get_many(
        self, cache: Cache, keys: Sequence[str], *, value: bool
    ) -> tuple[Mapping[str, Entry | Unreadable], float]:
        """Returns what stands under several keys."""
        return await self._db.read(lambda tx: (rows.some(tx, cache, keys, value=value), tx.now))

    async def version(self, cache: Cache) -> Version:
        """Returns how far the changes of a cache's entries have come."""
        return Version(await self._versions.of(cache), self._db.now())

    async def change(self, cache: Cache, changes: Sequence[Row], once: Once | None = None) -> Changed:
        """Makes changes in one transaction."""

        def apply(tx: Transaction) -> Changed:
            changed = writing.change(tx, cache, list(changes))
            if once is not None and not isinstance(changed.results[0], SutlerError):
                remember(tx, once, changed.results[0], self._keep)
            return changed

        return await self._db.write(apply, quick=len(changes) <= QUICK_ROWS and cache.evicts)

    async def page(self, cache: Cache, query: Query) -> Listed:
        """Returns one page of entries."""
        check_filter(query.filter)
        return await self._db.scan(lambda tx: selecting.page(tx, cache, query))

    async def select(self, cache: Cache, selector: Selector, after: str, limit: int, *, living: bool) -> Sequence[Mark]:
        """Returns entries that an invalidation means."""
        if selector.filter is not None:
            check_filter(selector.filter)
        return await self._db.scan(lambda tx: selecting.select(tx, cache, selector, after, limit, living=living))

    async def discard(
        self, cache: Cache, marks: Sequence[Mark], *, expire_only: bool, cause: Cause | None = None
    ) -> Discarded:
        """Removes selected entries, or lets them expire."""
        return await self._db.write(
            lambda tx: selecting.discard(tx, cache, marks, expire_only=expire_only, cause=cause)
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
        if once is None and not await self._db.read(lambda tx: selecting.concerns_somebody(tx, cache)):
            return 0

        def apply(tx: Transaction) -> int:
            ended = selecting.announce(tx, cache, scopes, cause, ending)
            remember(tx, once, result, self._keep)
            return ended

        return await self._db.write(apply)

    async def follow(self, cache: Cache) -> None:
        """Has changes of a cache told for the next minute."""
        if not await self._db.read(lambda tx: feed.is_followed(tx, cache)):
            await self._db.write(lambda tx: feed.follow(tx, cache))

    def feed(self, cache: Cache) -> Log[Invalidation]:
        """Returns what followers of a cache are told."""
        return feed.Feed(self._db, cache)

    @property
    def changes(self) -> Signal:
        """Wakes those who wait for changes."""
        return self._db.changes

    async def inspect(self, cache: Cache, after: str, limit: int) -> Sequence[Entry | Unreadable]:
        """Returns entries as they really stand."""
        return await self._db.scan(lambda tx: inspecting.inspect(tx, cache, after, limit))

    async def recount(self, cache: Cache, *, repair: bool) -> Sequence[str]:
        """Compares usage and tags with the entries."""
        wrong = list(await self._db.scan(lambda tx: recounting.wrong_totals(tx, cache)))
        if wrong and repair:
            await self._db.write(lambda tx: recounting.counted(tx, cache).save(tx))
        missing = await self._compare(cache, recounting.missing_tags, repair=repair)
        stale = await self._compare(cache, recounting.stale_tags, repair=repair)
        if missing:
            wrong.append(f"{missing} tags of entries are not in the index of tags")
        if stale:
            wrong.append(f"{stale} tags in the index of tags are not those of an entry")
        return wrong

    async def _compare(
        self,
        cache: Cache,
        compare: Callable[[Transaction, Cache, tuple[str, str]], recounting.TagPage],
        *,
        repair: bool,
    ) -> int:
        """Compares tags page by page, and returns how many are wrong."""
        count, after, more = 0, ("", ""), True
        while more:
            page = await self._db.scan(lambda tx, after=after: compare(tx, cache, after))  # type: ignore[misc]
            if page.wrong and repair:
                await self._db.write(lambda tx, page=page: recounting.mend_tags(tx, cache, page.wrong))  # type: ignore[misc]
            count, after, more = count + len(page.wrong), page.last, page.more
        return count

    async def data_types(self, tenant: str, gone: Collection[int]) -> Mapping[str, int]:
        """Returns how many entries of a tenant have each data type."""
        return await self._db.scan(lambda tx: inspecting.data_types(tx, tenant, sorted(gone)))

    async def record(self, accesses: Sequence[Access]) -> None:
        """Adds accesses to their entries."""
        await self._db.write(lambda tx: sweeping.record(tx, accesses))

    async def blob(self, cache: Cache, sha256: str) -> Blob | None:
        """Returns a blob of the tenant."""
        return await self._db.read(lambda tx: blobs.find(tx, cache.tenant, cache.rules.blob_backend, sha256))

    async def usage(self, cache: Cache) -> Usage:
        """Returns what a cache takes."""
        return await self._db.read(lambda tx: sweeping.usage(tx, cache))

    async def evict(self, cache: Cache) -> Swept:
        """Removes entries of a cache that is over a limit."""
        return await self._db.write(lambda tx: sweeping.evict(tx, cache))

    async def expire(self) -> Swept:
        """Removes expired entries, some of each cache, and leases and news that are over."""
        ended = await self._db.write(leases.sweep) if await self._db.scan(leases.overdue) else Swept({}, False)
        more = ended.more
        if await self._db.scan(feed.overdue):
            more |= await self._db.write(feed.sweep)
        counts: dict[int, int] = {}
        for tenant, space in await self._db.scan(sweeping.overdue):
            counts[space] = await self._db.write(lambda tx, t=tenant, s=space: sweeping.purge(tx, t, s))  # type: ignore[misc]
        more |= any(count == sweeping.CHUNK for count in counts.values())
        return Swept(counts, more, ended.lost_leases)

    async def drop(self, space: int) -> bool:
        """Removes entries of a deleted cache."""
        return await self._db.write(lambda tx: sweeping.drop(tx, space))

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache."""
        sql = "DELETE FROM spaces WHERE space = ? AND entries = 0"
        await self._db.write(lambda tx: totals.change(tx, sql, (space,)))

    async def garbage(self, blob_backend: str, limit: int) -> Sequence[str]:
        """Returns blobs that nobody refers to."""
        return await self._db.scan(lambda tx: sweeping.garbage(tx, blob_backend, self._grace, limit))

    async def collected(self, locators: Sequence[str]) -> None:
        """Forgets blobs that were removed."""
        gone = [(locator,) for locator in locators]
        await self._db.write(lambda tx: tx.many("DELETE FROM garbage WHERE locator = ?", gone))

    async def known(self, locators: Sequence[str]) -> set[str]:
        """Returns which locators are in use."""
        return await self._db.scan(lambda tx: sweeping.known(tx, locators))

    async def moved(self, cache: Cache) -> None:
        """Has nothing to do: that the catalogue changed has woken those who wait."""

    async def health(self) -> None:
        """Returns if the database answers."""
        await self._db.health()
