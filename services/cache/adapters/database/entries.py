"""The metadata backend in the service's own database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sutler.errors import SutlerError
from sutler.idempotency import Once
from sutler.store import Database, Transaction
from sutler.store.requests import remember

from services.cache.accesses import Access
from services.cache.adapters.database import blobs, rows, selecting, sweeping, writing
from services.cache.caches import Cache, Usage
from services.cache.changes import Row
from services.cache.entries import Blob, Entry
from services.cache.listing import Query
from services.cache.results import Changed, Found, Listed
from services.cache.selectors import Mark, Selector


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

    async def get(self, cache: Cache, key: str, *, value: bool) -> Found:
        """Returns what stands under a key."""
        return await self._db.read(lambda tx: Found(rows.one(tx, cache, key, value=value), tx.now))

    async def get_many(self, cache: Cache, keys: Sequence[str], *, value: bool) -> tuple[Mapping[str, Entry], float]:
        """Returns what stands under several keys."""
        return await self._db.read(lambda tx: (rows.some(tx, cache, keys, value=value), tx.now))

    async def change(self, cache: Cache, changes: Sequence[Row], once: Once | None = None) -> Changed:
        """Makes changes in one transaction."""

        def apply(tx: Transaction) -> Changed:
            changed = writing.change(tx, cache, list(changes))
            if once is not None and not isinstance(changed.results[0], SutlerError):
                remember(tx, once, changed.results[0], self._keep)
            return changed

        return await self._db.write(apply)

    async def page(self, cache: Cache, query: Query) -> Listed:
        """Returns one page of entries."""
        selecting.check_filter(query.filter)
        return await self._db.scan(lambda tx: selecting.page(tx, cache, query))

    async def select(self, cache: Cache, selector: Selector, after: str, limit: int, *, living: bool) -> Sequence[Mark]:
        """Returns entries that an invalidation means."""
        if selector.filter is not None:
            selecting.check_filter(selector.filter)
        return await self._db.scan(lambda tx: selecting.select(tx, cache, selector, after, limit, living=living))

    async def discard(self, cache: Cache, marks: Sequence[Mark], *, expire_only: bool) -> int:
        """Removes selected entries, or lets them expire."""
        return await self._db.write(lambda tx: selecting.discard(tx, cache, marks, expire_only=expire_only))

    async def remember(self, once: Once | None, result: object) -> None:
        """Remembers the answer to a request."""
        if once is not None:
            await self._db.write(lambda tx: remember(tx, once, result, self._keep))

    async def record(self, accesses: Sequence[Access]) -> None:
        """Adds accesses to their entries."""
        await self._db.write(lambda tx: sweeping.record(tx, accesses))

    async def blob(self, cache: Cache, sha256: str) -> Blob | None:
        """Returns a blob of the tenant."""
        return await self._db.read(lambda tx: blobs.find(tx, cache.tenant, cache.rules.blob_backend, sha256))

    async def usage(self, cache: Cache) -> Usage:
        """Returns what a cache takes."""
        return await self._db.read(lambda tx: sweeping.usage(tx, cache))

    async def evict(self, cache: Cache) -> bool:
        """Removes entries of a cache that is over a limit."""
        return await self._db.write(lambda tx: sweeping.evict(tx, cache))

    async def expire(self) -> bool:
        """Removes expired entries, some of each cache."""
        more = False
        for tenant, space in await self._db.scan(sweeping.overdue):
            more |= await self._db.write(lambda tx, t=tenant, s=space: sweeping.purge(tx, t, s))  # type: ignore[misc]
        return more

    async def drop(self, space: int) -> bool:
        """Removes entries of a deleted cache."""
        return await self._db.write(lambda tx: sweeping.drop(tx, space))

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache."""
        await self._db.write(lambda tx: tx.execute("DELETE FROM spaces WHERE space = ? AND entries = 0", (space,)))

    async def garbage(self, limit: int) -> list[tuple[str, str]]:
        """Returns blobs that nobody refers to."""
        return await self._db.scan(lambda tx: sweeping.garbage(tx, self._grace, limit))

    async def collected(self, locators: Sequence[str]) -> None:
        """Forgets blobs that were removed."""
        gone = [(locator,) for locator in locators]
        await self._db.write(lambda tx: tx.many("DELETE FROM garbage WHERE locator = ?", gone))

    async def known(self, locators: Sequence[str]) -> set[str]:
        """Returns which locators are in use."""
        return await self._db.scan(lambda tx: sweeping.known(tx, locators))

    async def health(self) -> None:
        """Returns if the database answers."""
        await self._db.health()
