from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sutler.idempotency import Once
from sutler.store import Database, Migration, Row, Transaction, leases
from sutler.store.requests import remember
from sutler.store.retention import Sweep, Sweeper, sweep_now
from sutler.testing import wait_until

from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place

TABLES = (
    "CREATE TABLE runs (id BIGINT NOT NULL PRIMARY KEY, end_time DOUBLE PRECISION)",
    "CREATE INDEX runs_by_end_time ON runs (end_time)",
)
MIGRATIONS = {"test": (Migration(1, "runs", TABLES),)}
RUNS = Sweep("runs", "end_time", timedelta(days=30))
DAY = 86400.0


async def count(db: Database, table: str) -> int:
    row = await db.read(lambda tx: tx.one(f"SELECT COUNT(*) FROM {table}"))
    return int(row[0]) if row else 0


async def test_rows_are_deleted_when_their_time_is_over(place: Place, opens: Opens) -> None:
    async with opens(place, migrations=MIGRATIONS, clock=lambda: 100 * DAY) as db:
        rows = [(n, 69 * DAY) for n in range(2500)] + [(5000, 71 * DAY), (5001, None), (5002, 0.0)]
        await db.write(lambda tx: tx.many("INSERT INTO runs (id, end_time) VALUES (?, ?)", rows))
        assert await sweep_now(db, RUNS) == 2500
        assert await db.read(lambda tx: tx.all("SELECT id FROM runs ORDER BY id")) == [(5000,), (5001,), (5002,)]
        assert await sweep_now(db, RUNS) == 0


async def test_what_is_deleted_is_told_in_the_same_transaction(place: Place, opens: Opens) -> None:
    def note(tx: Transaction, rows: Sequence[Row]) -> None:
        tx.insert("runs", "id, end_time", (len(rows) * 10_000 + sum(number for number, _ in rows), None))
        if any(failed for _, failed in rows):
            raise ValueError("the deletion must not stand either")

    sweep = Sweep("runs", "end_time", timedelta(days=30), "id, id = 6", note)
    async with opens(place, migrations=MIGRATIONS, clock=lambda: 100 * DAY) as db:
        await db.write(lambda tx: tx.insert("runs", "id, end_time", (1, DAY), (2, DAY), (3, 99 * DAY)))
        assert await sweep_now(db, sweep) == 2
        assert await db.read(lambda tx: tx.all("SELECT id FROM runs ORDER BY id")) == [(3,), (20_003,)]
        await db.write(lambda tx: tx.insert("runs", "id, end_time", (6, DAY)))
        with pytest.raises(ValueError):
            await sweep_now(db, sweep)
        assert await db.read(lambda tx: tx.all("SELECT id FROM runs ORDER BY id")) == [(3,), (6,), (20_003,)]


async def test_the_sweeper_deletes_own_and_library_rows(place: Place, opens: Opens) -> None:
    time = 100 * DAY
    async with opens(place, migrations=MIGRATIONS, clock=lambda: time) as db:
        once = Once("default", "/m", "r", b"h", lambda result: b"")
        await db.write(lambda tx: remember(tx, once, None))
        await db.write(lambda tx: leases.acquire(tx, "old", "anna", timedelta(seconds=1)))
        await db.write(lambda tx: tx.execute("INSERT INTO runs (id, end_time) VALUES (1, ?)", (time,)))
        sweeper = Sweeper(db, [RUNS], every=timedelta(milliseconds=20), ttl=timedelta(days=365))
        task = asyncio.create_task(sweeper.run())
        time += 6.9 * DAY

        async def old_lease_is_gone() -> bool:
            return await count(db, "leases") == 1

        await wait_until(old_lease_is_gone)
        assert await count(db, "requests") == 1
        time += 0.2 * DAY

        async def requests_are_gone() -> bool:
            return await count(db, "requests") == 0

        await wait_until(requests_are_gone)
        assert await count(db, "runs") == 1
        time += 24 * DAY

        async def runs_are_gone() -> bool:
            return await count(db, "runs") == 0

        await wait_until(runs_are_gone)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_names_are_checked() -> None:
    with pytest.raises(ValueError):
        Sweep("runs; DROP TABLE runs", "end_time")
