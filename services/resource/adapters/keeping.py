"""Lets nothing grow for ever: revisions that are no longer kept, and events that nobody fetches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog
from sutler.store import Database, Transaction, outbox
from sutler.store.holding import Lease, lead

log = structlog.get_logger("resource.keeping")

LEASE = "compaction"
CHUNK = 500
PAUSE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Keeper:
    """Deletes what has been kept long enough, in one process of all.

    Attributes:
        database: Where it is.
        revisions: How long a revision is kept after the next one of its resource, or after the resource has gone.
        events: How long events wait if no RuleService is configured; None if one is, then they wait for it.
        every: How long to rest in between.
    """

    database: Database
    revisions: timedelta
    events: timedelta | None
    every: timedelta

    async def run(self) -> None:
        """Works until it is cancelled."""
        await lead(self.database, LEASE, self._work)

    async def _work(self, lease: Lease) -> None:
        while True:
            compacted = await self._all(_compact, self.revisions)
            dropped = await self._all(_drop_events, self.events) if self.events is not None else 0
            if compacted or dropped:
                log.info("kept long enough", revisions=compacted, events=dropped)
            await asyncio.sleep(self.every.total_seconds())

    async def _all(self, delete: Callable[[Transaction, float], int], age: timedelta) -> int:
        total = 0
        while True:
            deleted = await self.database.write(lambda tx: delete(tx, tx.now - age.total_seconds()))
            total += deleted
            if deleted < CHUNK:
                return total
            await asyncio.sleep(PAUSE_SECONDS)


def _compact(tx: Transaction, until: float) -> int:
    """Deletes revisions that were superseded before a time, and notes up to where each log has gaps now."""
    rows = tx.all(
        "SELECT tenant, revision FROM revisions WHERE superseded_time < ? ORDER BY superseded_time LIMIT ?",
        (until, CHUNK),
    )
    tx.many("DELETE FROM revisions WHERE tenant = ? AND revision = ?", rows)
    newest: dict[str, int] = {}
    for tenant, revision in rows:
        newest[tenant] = max(revision, newest.get(tenant, 0))
    tx.many(
        "INSERT INTO compactions (tenant, revision) VALUES (?, ?) ON CONFLICT (tenant) DO UPDATE"
        " SET revision = CASE WHEN excluded.revision > compactions.revision THEN excluded.revision"
        " ELSE compactions.revision END",
        list(newest.items()),
    )
    return len(rows)


def _drop_events(tx: Transaction, until: float) -> int:
    """Deletes events from before a time; they are stored in the order of their times."""
    rows = tx.all("SELECT seq, time FROM outbox ORDER BY seq LIMIT ?", (CHUNK,))
    old = [seq for seq, time in rows if time < until]
    if old:
        outbox.remove(tx, max(old))
    return len(old)
