"""Counters and gauges of all processes, in the service's own database."""

from __future__ import annotations

from collections.abc import Mapping

from sutler.store import Database, Transaction

from services.cache.counting import Count, Counted
from services.cache.gauges import Gauge

FRESH_SECONDS = 5.0
"""A process that has not reported for longer counts no more: it has ended, or cannot be reached."""

FORGET_SECONDS = 60.0

# Counts for a cache that was deleted meanwhile go nowhere.
_ADD = (
    "INSERT INTO counters (space, name, tenant, value) SELECT space, ?, tenant, ? FROM caches WHERE space = ?"
    " ON CONFLICT (space, name) DO UPDATE SET value = counters.value + excluded.value"
)
_REPORT = (
    "INSERT INTO gauges (space, process, tenant, waiters, watchers, report_time)"
    " SELECT space, ?, tenant, ?, ?, ? FROM caches WHERE space = ?"
)


class StoredTallies:
    """Counters and gauges in tables. See :class:`services.cache.ports.Tallies`.

    Args:
        database: Where.
    """

    def __init__(self, database: Database) -> None:
        self._db = database

    async def report(self, process: str, counted: Counted, gauges: Mapping[int, Gauge]) -> None:
        """Adds what a process counted, and says what goes on in it."""

        def store(tx: Transaction) -> None:
            tx.many(_ADD, [(name.value, number, space) for (space, name), number in sorted(counted.items())])
            tx.execute("DELETE FROM gauges WHERE process = ? OR report_time < ?", (process, tx.now - FORGET_SECONDS))
            tx.many(
                _REPORT,
                [(process, gauge.waiters, gauge.watchers, tx.now, space) for space, gauge in gauges.items()],
            )

        await self._db.write(store)

    async def read(self, space: int) -> tuple[Mapping[Count, int], Gauge]:
        """Returns the counters of a cache, and what goes on in it."""

        def look(tx: Transaction) -> tuple[Mapping[Count, int], Gauge]:
            counted = tx.all("SELECT name, value FROM counters WHERE space = ?", (space,))
            going = tx.one(
                "SELECT CAST(SUM(waiters) AS BIGINT), CAST(SUM(watchers) AS BIGINT) FROM gauges"
                " WHERE space = ? AND report_time > ?",
                (space, tx.now - FRESH_SECONDS),
            )
            assert going is not None
            return {Count(name): value for name, value in counted}, Gauge(going[0] or 0, going[1] or 0)

        return await self._db.read(look)
