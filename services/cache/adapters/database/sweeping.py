"""What goes on behind the calls, a small piece at a time: accesses, eviction, expiry, deleted caches, garbage."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from sutler.store import Transaction

from services.cache.accesses import Access
from services.cache.adapters.database import leases, rows, totals, writing
from services.cache.caches import EVICT_TO, Cache, Usage, passes_limit
from services.cache.ranks import frequent
from services.cache.results import Swept

CHUNK = 200
"""How many entries one piece of work touches: some milliseconds, so that no call waits long."""

_COUNT = (
    "UPDATE entries SET hit_count = hit_count + ?,"
    " access_time = CASE WHEN access_time IS NULL OR access_time < ? THEN ? ELSE access_time END,"
    " used_time = CASE WHEN used_time < ? THEN ? ELSE used_time END WHERE space = ? AND key = ? AND put_time = ?"
)
_RANKS = "SELECT key, used_time FROM entries WHERE space = ? AND key IN ({marks})"
# An access does not bring back what a later touch or invalidation has ended: its life was decided after the access.
_RENEW = (
    "UPDATE entries SET purge_time = purge_time - expire_time + ? + ttl, expire_time = ? + ttl"
    " WHERE space = ? AND key = ? AND put_time = ? AND ttl > 0 AND life_time <= ? AND expire_time < ? + ttl"
)


def record(tx: Transaction, accesses: Sequence[Access]) -> None:
    """Adds accesses to their entries, and renews the lives of those that slide."""
    ranks = _ranks(tx, [a for a in accesses if a.by_frequency])
    tx.many(
        _COUNT,
        [
            (a.hits, a.last_time, a.last_time, rank, rank, a.space, rows.stored_key(a.key), a.put_time)
            for a, rank in ((a, ranks.get((a.space, a.key), a.last_time)) for a in accesses)
        ],
    )
    tx.many(
        _RENEW,
        [
            (a.last_time, a.last_time, a.space, rows.stored_key(a.key), a.put_time, a.last_time, a.last_time)
            for a in accesses
            if a.sliding
        ],
    )


def _ranks(tx: Transaction, accesses: Sequence[Access]) -> dict[tuple[int, str], float]:
    """Returns the ranks that entries have after accesses, where the least often used ones go first."""
    ranks: dict[tuple[int, str], float] = {}
    for space, group in groupby(sorted(accesses, key=_place), attrgetter("space")):
        used = {access.key: access for access in group}
        keys = [rows.stored_key(key) for key in used]
        for start in range(0, len(keys), CHUNK):
            some = keys[start : start + CHUNK]
            found = tx.all(_RANKS.format(marks=", ".join("?" * len(some))), (space, *some))
            for stored, rank in found:
                access = used[rows.given_key(stored)]
                ranks[space, access.key] = frequent(rank, access.hits, access.last_time)
    return ranks


def _place(access: Access) -> tuple[int, str]:
    return access.space, access.key


def evict(tx: Transaction, cache: Cache) -> Swept:
    """Removes entries of a cache that is over a limit, those first that are worth least."""
    rows.check_cache(tx, cache)
    total = totals.load(tx, cache.tenant, cache.space)
    count = 0
    found = tx.all(f"{rows.SELECT_BARE} WHERE e.space = ? ORDER BY e.used_time LIMIT ?", (cache.space, CHUNK))
    for row in found:
        if not passes_limit(cache, total.usage, EVICT_TO):
            break
        writing.remove(tx, total, rows.to_entry(row))
        count += 1
    total.save(tx)
    return Swept({cache.space: count}, passes_limit(cache, total.usage, EVICT_TO) and bool(found))


def overdue(tx: Transaction) -> list[tuple[str, int]]:
    """Returns tenant and number of caches with entries to be purged."""
    return [
        (row[0], row[1])
        for row in tx.all(
            "SELECT s.tenant, s.space FROM spaces s WHERE EXISTS"
            " (SELECT 1 FROM entries e WHERE e.space = s.space AND e.purge_time <= ?) LIMIT 100",
            (tx.now,),
        )
    ]


def purge(tx: Transaction, tenant: str, space: int) -> int:
    """Removes entries of a cache whose time and retention are over, at most :data:`CHUNK`; returns how many."""
    total = totals.load(tx, tenant, space)
    count = writing.purge(tx, total, CHUNK)
    if count:
        total.save(tx)
    return count


def drop(tx: Transaction, space: int) -> bool:
    """Removes entries of a deleted cache; returns whether there is more."""
    tx.catch_up()
    row = tx.one("SELECT tenant FROM spaces WHERE space = ?", (space,))
    if row is None:
        return False
    total = totals.load(tx, row[0], space)
    found = tx.all(f"{rows.SELECT_BARE} WHERE e.space = ? LIMIT ?", (space, CHUNK))
    for entry in found:
        writing.remove(tx, total, rows.to_entry(entry))
    leases.end_where(tx, total, "TRUE", ())
    total.save(tx)
    return len(found) == CHUNK


def usage(tx: Transaction, cache: Cache) -> Usage:
    """Returns what a cache takes."""
    return totals.load(tx, cache.tenant, cache.space).usage


def garbage(tx: Transaction, blob_backend: str, grace: float, limit: int) -> list[str]:
    """Returns locators in a blob backend that nobody has referred to for ``grace`` seconds."""
    found = tx.all(
        "SELECT locator FROM garbage WHERE backend = ? AND drop_time <= ? ORDER BY drop_time LIMIT ?",
        (blob_backend, tx.now - grace, limit),
    )
    return [locator for (locator,) in found]


def known(tx: Transaction, locators: Sequence[str]) -> set[str]:
    """Returns which locators a blob or the garbage has."""
    marks = ", ".join("?" * len(locators))
    found = tx.all(
        f"SELECT locator FROM blobs WHERE locator IN ({marks})"
        f" UNION SELECT locator FROM garbage WHERE locator IN ({marks})",
        (*locators, *locators),
    )
    return {row[0] for row in found}
