from __future__ import annotations

import asyncio
import threading

import pytest
from sutler.errors import Exhausted
from sutler.store import Database, StatementError, Transaction, failures
from sutler.store.sqlite import SqliteEngine
from sutler.store.sqlite.connection import SqliteConnection
from sutler.testing import wait_until

from tests.conformance.store.changing import busy_writer, keys, put
from tests.conformance.store.conftest import Opens
from tests.conformance.store.places import Place


async def test_a_read_may_not_write(db: Database) -> None:
    for read in (db.read, db.scan):
        with pytest.raises(StatementError):
            await read(put("a"))
    assert await db.write(put("b")) == 1
    assert await db.read(keys) == ["b"]


async def test_a_wrong_read_leaves_the_next_one_alone(db: Database) -> None:
    with pytest.raises(StatementError):
        await db.read(lambda tx: tx.all("SELECT nothing FROM nowhere"))
    assert await db.read(keys) == []


async def test_a_scan_sees_one_moment_and_does_not_wait_for_the_writer(shared_db: Database) -> None:
    db = shared_db
    await db.write(put("a"))
    begun, go_on = threading.Event(), threading.Event()

    def look_twice(tx: Transaction) -> tuple[list[str], list[str]]:
        first = keys(tx)
        begun.set()
        assert go_on.wait(30)
        return first, keys(tx)

    scanning = asyncio.create_task(db.scan(look_twice))
    await asyncio.to_thread(begun.wait, 30)
    await db.write(put("b"))
    go_on.set()
    assert await scanning == (["a"], ["a"])
    assert await db.scan(keys) == ["a", "b"]
    async with busy_writer(db):
        assert await db.scan(keys) == ["a", "b"]
        assert await db.read(keys) == ["a", "b"]


async def test_what_is_not_committed_is_not_seen(shared_db: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def change(tx: Transaction) -> None:
        put("a")(tx)
        begun.set()
        assert go_on.wait(30)

    writing = asyncio.create_task(shared_db.write(change))
    await asyncio.to_thread(begun.wait, 30)
    assert await shared_db.read(keys) == []
    go_on.set()
    await writing
    assert await shared_db.read(keys) == ["a"]


async def test_more_than_the_allowed_number_of_reads_may_not_wait(place: Place, opens: Opens) -> None:
    async with opens(place, max_waiting=3) as db:
        go_on = threading.Event()
        scans = [asyncio.create_task(db.scan(lambda tx: go_on.wait(30))) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Exhausted) as caught:
            await db.scan(keys)
        go_on.set()
        assert await asyncio.gather(*scans) == [True] * 3
        assert caught.value.reason == "OVERLOADED"
        assert caught.value.metadata["queue"] == "reads"
        assert await db.scan(keys) == []


async def test_a_read_that_is_locked_out_waits_in_a_thread(
    sqlite_place: Place, opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database is locked for a moment while another process recovers it, and the event loop must not wait."""
    reader = SqliteEngine.reader

    def locked_out(engine: SqliteEngine, *, patient: bool) -> SqliteConnection:
        if not patient:
            raise failures.unavailable(failures.LOCKED)
        return reader(engine, patient=patient)

    monkeypatch.setattr(SqliteEngine, "reader", locked_out)
    async with opens(sqlite_place) as db:
        await db.write(put("a"))
        here = threading.current_thread()
        assert await db.read(lambda tx: (keys(tx), threading.current_thread() is here)) == (["a"], False)


async def test_a_healthy_store_says_nothing(db: Database) -> None:
    await db.health()


async def test_health_does_not_wait_for_the_writer_or_scans(shared_db: Database) -> None:
    go_on = threading.Event()
    scans = [asyncio.create_task(shared_db.scan(lambda tx: go_on.wait(30))) for _ in range(8)]
    async with busy_writer(shared_db):
        await shared_db.health()
    go_on.set()
    await asyncio.gather(*scans)


async def test_reads_and_writes_together_see_whole_changes(db: Database) -> None:
    """Two rows that always change together are always seen equal."""

    def both(tx: Transaction) -> None:
        for key in ("left", "right"):
            tx.execute(
                "INSERT INTO items (key, number) VALUES (?, 1)"
                " ON CONFLICT (key) DO UPDATE SET number = items.number + 1",
                (key,),
            )

    def numbers(tx: Transaction) -> set[int]:
        return {tx.all("SELECT number FROM items WHERE key = ?", (key,))[0][0] for key in ("left", "right")}

    await db.write(both)
    writing = asyncio.gather(*(db.write(both) for _ in range(100)))
    seen = []
    await wait_until(lambda: db.statistics().waiting < 100)
    while not writing.done():
        seen.append(await db.read(numbers))
        seen.append(await db.scan(numbers))
    await writing
    assert seen
    assert all(len(pair) == 1 for pair in seen)
