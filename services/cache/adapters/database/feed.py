"""What followers of a cache are told, in a table: numbered in the transactions of the changes, kept for two minutes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from sutler.store import Database, Transaction

from services.cache.adapters.database import rows, totals
from services.cache.adapters.database.totals import Totals, change
from services.cache.caches import Cache
from services.cache.telling import Cause, Invalidation, Scope

FOLLOWED_SECONDS = 60.0
"""How long a cache counts as followed after somebody said so, at least."""

KEPT_SECONDS = 120.0
"""How long what was told is kept: who reads more slowly has missed something."""

RENEWED_SECONDS = 75.0
"""Until when it counts as followed is stored with so much to spare that many followers need few writes."""

CHUNK = 1000
OVERHEAD = 200
"""The bytes of one thing to forget beside its key, roughly."""


def tell(tx: Transaction, total: Totals, scope: Scope, text: str, cause: Cause, etag: str = "") -> None:
    """Tells followers to forget something, if there are any."""
    if total.followed_until <= tx.now:
        return
    total.told += 1
    tx.send(
        "INSERT INTO invalidations (space, number, tenant, scope, subject, cause, etag, event_time)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (total.space, total.told, total.tenant, int(scope), rows.stored_key(text), int(cause), etag, tx.now),
    )


def is_followed(tx: Transaction, cache: Cache) -> bool:
    """Returns whether changes are told for the next minute anyway."""
    rows.check_cache(tx, cache)
    return totals.load(tx, cache.tenant, cache.space).followed_until >= tx.now + FOLLOWED_SECONDS


def follow(tx: Transaction, cache: Cache) -> None:
    """Has changes told for the next minute. Where that had lapsed, a number is left out: what came before is gone."""
    rows.check_cache(tx, cache)
    total = totals.load(tx, cache.tenant, cache.space)
    if total.followed_until <= tx.now:
        total.told += 1
        total.followed_from = total.told
    total.followed_until = tx.now + RENEWED_SECONDS
    total.save(tx)


def overdue(tx: Transaction) -> bool:
    """Returns whether something is kept that is old enough to go."""
    sql = "SELECT 1 FROM invalidations WHERE event_time < ? LIMIT 1"
    return tx.one(sql, (tx.now - KEPT_SECONDS,)) is not None


def sweep(tx: Transaction) -> bool:
    """Removes some of what is old; returns whether there is more to do."""
    found = tx.all(
        "SELECT space, number FROM invalidations WHERE event_time < ? ORDER BY event_time LIMIT ?",
        (tx.now - KEPT_SECONDS, CHUNK),
    )
    newest: dict[int, int] = {}
    for space, number in found:
        newest[space] = max(newest.get(space, 0), number)
    for space, number in newest.items():
        tx.execute("DELETE FROM invalidations WHERE space = ? AND number <= ?", (space, number))
        change(tx, "UPDATE spaces SET followed_from = ? WHERE space = ? AND followed_from < ?", (number, space, number))
    return len(found) == CHUNK


@dataclass(frozen=True, slots=True)
class Feed:
    """What followers of a cache are told: implements :class:`sutler.tails.Log`.

    Attributes:
        database: Where it is.
        cache: The cache; reading raises CacheMovedError if it was changed or deleted.
    """

    database: Database
    cache: Cache

    @property
    def identity(self) -> Hashable:
        """Says which cache it is of."""
        return self.cache.rules.metadata_backend, self.cache.space

    async def bounds(self) -> tuple[int, int]:
        """Returns the number after which all is kept, and the newest one."""
        return await self.database.read(self._bounds)

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, Invalidation]]:
        """Returns what was told after a number, in order."""
        return await self.database.read(lambda tx: self._after(tx, position, limit))

    def size(self, change: Invalidation) -> int:
        """Returns how many bytes one takes in memory."""
        return OVERHEAD + 4 * len(change.text)

    def _bounds(self, tx: Transaction) -> tuple[int, int]:
        rows.check_cache(tx, self.cache)
        total = totals.load(tx, self.cache.tenant, self.cache.space)
        return total.followed_from, total.told

    def _after(self, tx: Transaction, position: int, limit: int) -> list[tuple[int, Invalidation]]:
        rows.check_cache(tx, self.cache)
        found = tx.all(
            "SELECT number, scope, subject, cause, event_time, etag FROM invalidations"
            " WHERE space = ? AND number > ? ORDER BY number LIMIT ?",
            (self.cache.space, position, limit),
        )
        return [
            (number, Invalidation(Scope(scope), rows.given_key(subject), Cause(cause), time, etag))
            for number, scope, subject, cause, time, etag in found
        ]
