"""What feeds know, in the store, on both engines: counted as it grows, and deleted in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sutler.store import Database, leases, open_database
from sutler.store.retention import Sweep, sweep_now

from services.erp.adapters import clearing
from services.erp.adapters.schema import MIGRATIONS
from services.erp.adapters.stored_connections import StoredConnections
from services.erp.adapters.stored_feeds import LEASE, StoredFeeds
from services.erp.adapters.stored_subscriptions import StoredSubscriptions
from services.erp.feed.model import Change, Feed, FeedSpec, Kind, Observation
from services.erp.ports import Step
from services.erp.records import Record
from services.erp.subscriptions import Action, Subscription, SubscriptionSpec
from tests.unit.erp.test_connections import a_connection

KEEP = timedelta(days=1)
SPEC = FeedSpec(model="res.partner", watched=("name",))
SUBSCRIPTION = Subscription(
    tenant="default",
    connection="main",
    connection_uid="c",
    id="one",
    uid="s",
    spec=SubscriptionSpec(model="res.partner"),
)
FEED = Feed(
    uid="s", tenant="default", connection="main", connection_uid="c", kind=Kind.SUBSCRIPTION, spec=SPEC
)  # fmt: skip
WATCH = replace(FEED, uid="w", kind=Kind.WATCH, expire_time=9e9)
COUNT = 25


@pytest.fixture
async def db(database: str) -> AsyncIterator[Database]:
    async with open_database(database, name="erp", migrations=MIGRATIONS) as opened:
        await StoredConnections(opened, KEEP).save("default", "main", lambda *_: a_connection(), None)
        yield opened


def known(*ids: int) -> list[Observation]:
    return [Observation(record_id=one, update_time=1.0, hash="h", values={"name": "n"}) for one in ids]


async def subscribed(db: Database) -> Feed:
    ids = range(1, COUNT + 1)
    await StoredSubscriptions(db, KEEP).save(a_connection(), "one", lambda *_: (SUBSCRIPTION, FEED), known(*ids), None)
    return await stored(db, "s")


async def stored(db: Database, uid: str) -> Feed:
    found = await StoredFeeds(db).get(uid)
    assert found is not None
    return found


async def rows(db: Database, table: str = "observations") -> int:
    row = await db.read(lambda tx: tx.one(f"SELECT COUNT(*) FROM {table}"))
    assert row is not None
    return int(row[0])


async def fence(db: Database) -> int:
    found = await db.write(lambda tx: leases.acquire(tx, LEASE, "test", timedelta(hours=1)))
    assert found is not None
    return found


async def test_records_are_counted_as_they_come_and_go(db: Database) -> None:
    feed, feeds, held = await subscribed(db), StoredFeeds(db), await fence(db)
    assert feed.record_count == COUNT
    step = Step(cursor=feed.cursor, observed=known(1, 2, 100), gone=(3, 4, 5), growth=-2)
    await feeds.commit(feed, step, held)
    assert (await stored(db, "s")).record_count == COUNT - 2
    assert len(await feeds.known_times(feed, 0, 100)) == COUNT - 2


async def test_what_went_is_remembered_for_a_while(db: Database) -> None:
    feed, feeds, held = await subscribed(db), StoredFeeds(db), await fence(db)
    await feeds.commit(feed, Step(cursor=feed.cursor, gone=(3, 4)), held)
    away = await feeds.observations(feed, [3, 5])
    assert [away[one].away_time is not None for one in (3, 5)] == [True, False]
    assert away[3].values == {"name": "n"}
    await db.write(lambda tx: tx.execute("UPDATE observations SET away_time = 1.0 WHERE record_id = 3"))
    assert await sweep_now(db, Sweep("observations", "away_time", KEEP)) == 1
    await feeds.commit(feed, Step(cursor=feed.cursor, observed=known(4)), held)
    assert (await feeds.observations(feed, [3, 4]))[4].away_time is None


async def test_what_a_deleted_subscription_knew_is_deleted_in_pieces(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscribed(db)
    await StoredSubscriptions(db, KEEP).delete("default", "main", "one", lambda _: True, None)
    assert await largest_delete(db, monkeypatch) == 10
    assert await rows(db) == 0


async def test_a_connection_that_leads_elsewhere_forgets_at_once_and_deletes_in_pieces(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await subscribed(db)
    moved = replace(a_connection(), epoch=2, revision=2)
    await StoredConnections(db, KEEP).save("default", "main", lambda *_: moved, None)
    after = await stored(db, "s")
    assert (after.epoch, after.revision, after.record_count) == (before.epoch + 1, before.revision, 0)
    assert await StoredFeeds(db).observations(after, [1, 2]) == {}
    assert await largest_delete(db, monkeypatch) == 10
    assert await rows(db) == 0


async def test_a_watch_that_begins_again_does_not_know_what_an_earlier_one_did(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeds, held = StoredFeeds(db), await fence(db)
    first = await feeds.ensure(WATCH, known(*range(COUNT)), lambda _: None)
    told = [
        Change(change_id=str(one), action=Action.CREATED, connection="", record=Record(model="m", id=1, values={}))
        for one in range(COUNT)
    ]
    await feeds.commit(first, Step(cursor=first.cursor, changes=told), held)
    await db.write(lambda tx: tx.execute("UPDATE feeds SET expire_time = 1.0"))
    await feeds.expire()
    assert await rows(db, "feeds") == 0
    again = await feeds.ensure(WATCH, known(7), lambda _: None)
    await feeds.commit(again, Step(cursor=again.cursor, changes=told[:1]), held)
    assert list(await feeds.observations(again, range(COUNT))) == [7]
    assert await largest_delete(db, monkeypatch) == 10
    assert (await rows(db), await rows(db, "changes")) == (1, 1)
    position, _ = await feeds.log_bounds("w")
    assert len(await feeds.log_after("w", position, 10)) == 1


async def largest_delete(db: Database, monkeypatch: pytest.MonkeyPatch) -> int:
    """Clears what is to go, and returns the most rows that one change deleted."""
    monkeypatch.setattr(clearing, "AT_ONCE", 10)
    deleted: list[int] = []
    write = db.write

    async def counting(change: Any) -> Any:
        before = await rows(db) + await rows(db, "changes")
        result = await write(change)
        deleted.append(before - await rows(db) - await rows(db, "changes"))
        return result

    with monkeypatch.context() as patched:
        patched.setattr(db, "write", counting)
        await StoredFeeds(db).clear()
    return max(deleted)
