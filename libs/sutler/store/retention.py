"""Deletes what has been kept long enough, so that nothing grows for ever."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from sutler.store.database import Database
from sutler.store.engine import Row
from sutler.store.holding import TTL, Lease, lead
from sutler.store.transaction import Transaction

log = structlog.get_logger("sutler.store")

LEASE = "retention"
CHUNK = 1000
PAUSE_SECONDS = 0.05
"""Between two chunks, so that other changes are not held up."""

_NAME = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Sweep:
    """Says how long the rows of a table are kept.

    Attributes:
        table: The table.
        column: When a row's time began, or when it ends, in epoch seconds; NULL or 0 keeps the row, as for an
            operation that has not ended. It needs an index.
        age: How long after that the row is kept.
        columns: What ``note`` is told of each row, as SQL.
        note: Called with the rows that are deleted, in the transaction that does it; None if nothing is to be noted.

    Raises:
        ValueError: If a name is not one that needs no quotes.
    """

    table: str
    column: str
    age: timedelta = timedelta()
    columns: str = "1"
    note: Callable[[Transaction, Sequence[Row]], None] | None = None

    def __post_init__(self) -> None:
        if not (_NAME.fullmatch(self.table) and _NAME.fullmatch(self.column)):
            raise ValueError(f"{self.table}.{self.column} cannot be swept: names are of the form {_NAME.pattern}")


OWN = (Sweep("requests", "expire_time"), Sweep("leases", "expire_time", timedelta(days=1)))
"""The sweeps of the library's own tables."""


def delete_chunk(tx: Transaction, sweep: Sweep) -> int:
    """Deletes up to 1000 rows whose time is over, and returns how many."""
    old = f"FROM {sweep.table} WHERE {sweep.column} > 0 AND {sweep.column} < ? LIMIT {CHUNK}"
    where = f"rowid IN (SELECT rowid {old})" if tx.dialect == "sqlite" else f"ctid = ANY (ARRAY (SELECT ctid {old}))"
    delete = f"DELETE FROM {sweep.table} WHERE {where}"
    before = (tx.now - sweep.age.total_seconds(),)
    if sweep.note is None:
        return tx.execute(delete, before)
    rows = tx.all(f"{delete} RETURNING {sweep.columns}", before)
    sweep.note(tx, rows)
    return len(rows)


async def sweep_now(db: Database, sweep: Sweep) -> int:
    """Deletes all rows whose time is over, in chunks with pauses, and returns how many."""
    total = 0
    while True:
        deleted = await db.write(lambda tx: delete_chunk(tx, sweep))
        total += deleted
        if deleted < CHUNK:
            return total
        await asyncio.sleep(PAUSE_SECONDS)


class Sweeper:
    """Sweeps again and again, in one process of all.

    Args:
        db: The database.
        sweeps: The service's own; those of the library's tables are added.
        every: How long to rest in between.
        ttl: After how long another process may take over from one that died.
    """

    def __init__(
        self, db: Database, sweeps: Sequence[Sweep], *, every: timedelta = timedelta(minutes=10), ttl: timedelta = TTL
    ) -> None:
        self._db = db
        self._sweeps = (*OWN, *sweeps)
        self._every = every
        self._ttl = ttl

    async def run(self) -> None:
        """Sweeps until it is cancelled."""
        await lead(self._db, LEASE, self._sweep, ttl=self._ttl)

    async def _sweep(self, lease: Lease) -> None:
        while True:
            for sweep in self._sweeps:
                deleted = await sweep_now(self._db, sweep)
                if deleted:
                    log.info("store.swept", table=sweep.table, rows=deleted)
            await asyncio.sleep(self._every.total_seconds())
