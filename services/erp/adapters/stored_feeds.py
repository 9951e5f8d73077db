"""Feeds, in the store: what they know and how far they have read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from sutler.errors import Conflict
from sutler.paging import fitting
from sutler.store import Database, Row, Transaction, leases, outbox, sequences
from sutler.tails import Signal

from services.erp.adapters.clearing import clear
from services.erp.adapters.rows import (
    CURSOR,
    FEEDS,
    OBSERVED,
    change_from_json,
    change_to_json,
    observation,
    observed,
)
from services.erp.feed.model import Change, Feed, Observation, Touch
from services.erp.ports import Step

LEASE = "erp.feeds"
LOG = "erp_changes"
VERSION = "erp_feeds"


class StoredFeeds:
    """See :class:`services.erp.ports.FeedStore`.

    Args:
        db: The store.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    @property
    def signal(self) -> Signal:
        """Wakes those who wait for commits."""
        return self._db.changes

    async def to_follow(self) -> list[Feed]:
        """Returns the feeds of all tenants that are for somebody now."""

        def find(tx: Transaction) -> list[Feed]:
            where = "WHERE expire_time IS NULL OR rest_time > ?"
            return [FEEDS.read(row) for row in tx.all(f"{FEEDS.select} {where} ORDER BY uid", (tx.now,))]

        return await self._db.scan(find)

    async def version(self) -> int:
        """Returns a number that changes whenever a feed begins, changes or goes."""
        row = await self._db.read(lambda tx: tx.one("SELECT value FROM sequences WHERE name = ?", (VERSION,)))
        return int(row[0]) if row else 0

    async def get(self, uid: str) -> Feed | None:
        """Returns a feed."""
        return await self._db.read(lambda tx: FEEDS.find(tx, "uid = ?", (uid,)))

    async def ensure(self, feed: Feed, observations: Sequence[Observation], check: Callable[[int], None]) -> Feed:
        """Stores a watch's feed unless it is there."""

        def change(tx: Transaction) -> Feed:
            known = FEEDS.find(tx, "uid = ?", (feed.uid,))
            if known is not None:
                _keep_alive(tx, feed)
                return known
            check(_watched(tx, feed.connection_uid, feed.creator))
            # Tokens of an earlier feed of the same name are older than everything that this one keeps.
            start = sequences.draw(tx, LOG)
            begun = replace(feed, epoch=start, record_count=len(observations))
            FEEDS.put_with(tx, begun, {"log_start": start})
            store_observations(tx, begun, observations)
            feeds_changed(tx)
            return begun

        return await self._db.write(change)

    async def watched(self, connection_uid: str, creator: str) -> int:
        """Returns how many feeds of a connection watches of one principal have begun."""
        return await self._db.read(lambda tx: _watched(tx, connection_uid, creator))

    async def keep_alive(self, feed: Feed) -> None:
        """Keeps a watch's feed until its times."""
        await self._db.write(lambda tx: _keep_alive(tx, feed))

    async def rest(self, uid: str) -> None:
        """Lets a watch's feed rest until somebody keeps it alive."""

        def change(tx: Transaction) -> None:
            if tx.execute("UPDATE feeds SET rest_time = ? WHERE uid = ?", (tx.now, uid)):
                feeds_changed(tx)

        await self._db.write(change)

    async def adopt(self, feed: Feed, principal: str) -> None:
        """Lets a watch's feed be read on behalf of another principal."""

        def change(tx: Transaction) -> None:
            if tx.execute(
                "UPDATE feeds SET principal = ?, revision = revision + 1 WHERE uid = ? AND principal = ?",
                (principal, feed.uid, feed.principal),
            ):
                feeds_changed(tx)

        await self._db.write(change)

    async def expire(self) -> None:
        """Deletes feeds that nobody watches any more."""

        def change(tx: Transaction) -> None:
            if tx.execute("DELETE FROM feeds WHERE expire_time < ?", (tx.now,)):
                feeds_changed(tx)

        await self._db.write(change)

    async def clear(self) -> None:
        """Deletes, a piece at a time, what feeds knew and told that are gone or have begun anew."""
        await clear(self._db)

    async def observations(self, feed: Feed, ids: Sequence[int]) -> dict[int, Observation]:
        """Returns what a feed knows of records, also of those that are out of view."""
        if not ids:
            return {}
        marks = ", ".join("?" * len(ids))

        def find(tx: Transaction) -> list[Observation]:
            rows = tx.all(
                f"SELECT {', '.join(OBSERVED)} FROM observations WHERE feed = ? AND record_id IN ({marks})",
                (feed.memory, *ids),
            )
            return [observation(row) for row in rows]

        return {one.record_id: one for one in await self._db.scan(find)}

    async def known_times(self, feed: Feed, after_id: int, limit: int) -> dict[int, float]:
        """Returns when records that a feed has in view last changed."""
        rows = await self._db.scan(
            lambda tx: tx.all(
                "SELECT record_id, update_time FROM observations"
                " WHERE feed = ? AND record_id > ? AND away_time IS NULL ORDER BY record_id LIMIT ?",
                (feed.memory, after_id, limit),
            )
        )
        return {record_id: float(changed) for record_id, changed in rows}

    async def left_over(self, feed: Feed, limit: int) -> list[int]:
        """Returns ids of records that the last baseline has not seen."""
        rows = await self._db.scan(
            lambda tx: tx.all(
                "SELECT record_id FROM observations"
                " WHERE feed = ? AND generation < ? AND away_time IS NULL ORDER BY record_id LIMIT ?",
                (feed.memory, feed.cursor.generation, limit),
            )
        )
        return [row[0] for row in rows]

    async def commit(self, feed: Feed, step: Step, fence: int) -> None:
        """Stores what a step of reading has found."""

        def change(tx: Transaction) -> None:
            leases.check(tx, LEASE, fence)
            moved = tx.execute(
                "UPDATE feeds SET position = ?, poll_time = ?, record_count = record_count + ?"
                " WHERE uid = ? AND revision = ? AND epoch = ?",
                (CURSOR.dump_json(step.cursor).decode(), tx.now, step.growth, feed.uid, feed.revision, feed.epoch),
            )
            if not moved:
                raise _changed(feed)
            store_observations(tx, feed, step.observed)
            gone = [(tx.now, feed.memory, one) for one in step.gone]
            tx.many("UPDATE observations SET away_time = ? WHERE feed = ? AND record_id = ?", gone)
            _log(tx, feed.uid, step.changes)
            if step.events:
                outbox.append(tx, *step.events)
                tx.execute(
                    "UPDATE subscriptions SET event_count = event_count + ? WHERE uid = ?",
                    (len(step.events), feed.uid),
                )

        await self._db.write(change)

    async def failed(self, feed: Feed, error: bytes, fence: int) -> None:
        """Notes why the ERP cannot be read."""

        def change(tx: Transaction) -> None:
            leases.check(tx, LEASE, fence)
            tx.execute("UPDATE feeds SET error = ? WHERE uid = ?", (error, feed.uid))

        await self._db.write(change)

    async def touched(self, feed: Feed, limit: int) -> list[Touch]:
        """Returns writes through the gateway that a feed has not looked at yet."""
        rows = await self._db.read(
            lambda tx: tx.all(
                "SELECT model, record_id, seq, correlation_id, actor FROM touches"
                " WHERE connection_uid = ? AND model = ? AND seq > ? ORDER BY seq LIMIT ?",
                (feed.connection_uid, feed.spec.model, feed.cursor.touch, limit),
            )
        )
        return [
            Touch(model=model, record_id=record_id, number=number, correlation_id=correlation_id, actor=actor)
            for model, record_id, number, correlation_id, actor in rows
        ]

    async def latest_touch(self) -> int:
        """Returns the number of the last write through the gateway."""
        row = await self._db.read(lambda tx: tx.one("SELECT MAX(seq) FROM touches"))
        return (row[0] if row else None) or 0

    async def log_bounds(self, uid: str) -> tuple[int, int]:
        """Returns the position before the oldest kept change, and that of the newest."""

        def find(tx: Transaction) -> tuple[int, int]:
            start = tx.one("SELECT log_start FROM feeds WHERE uid = ?", (uid,))
            newest = tx.one("SELECT MAX(seq) FROM changes WHERE feed = ?", (uid,))
            oldest = int(start[0]) if start else 0
            return oldest, max(oldest, (newest[0] if newest else None) or 0)

        return await self._db.read(find)

    async def log_after(self, uid: str, position: int, limit: int) -> list[tuple[int, Change]]:
        """Returns changes of a watch's feed after a position."""

        def find(tx: Transaction) -> list[Row]:
            where = "FROM changes WHERE feed = ? AND seq > ?"
            sizes = tx.all(f"SELECT seq, LENGTH(data) {where} ORDER BY seq LIMIT ?", (uid, position, limit))
            if not sizes:
                return []
            last = sizes[fitting(size for _, size in sizes) - 1][0]
            return tx.all(f"SELECT seq, data {where} AND seq <= ? ORDER BY seq", (uid, position, last))

        return [(seq, change_from_json(data)) for seq, data in await self._db.read(find)]

    async def forget_log(self, age: float) -> None:
        """Forgets changes that are older than ``age`` seconds; tokens from before are too old then."""

        def change(tx: Transaction) -> None:
            old = tx.all("SELECT feed, MAX(seq) FROM changes WHERE time < ? GROUP BY feed", (tx.now - age,))
            for feed, last in old:
                tx.execute("UPDATE feeds SET log_start = ? WHERE uid = ? AND log_start < ?", (last, feed, last))

        await self._db.write(change)
        await self.clear()


def feeds_changed(tx: Transaction) -> None:
    """Tells the runner that a feed began, changed or went."""
    sequences.draw(tx, VERSION)


def _watched(tx: Transaction, connection_uid: str, creator: str) -> int:
    row = tx.one(
        "SELECT COUNT(*) FROM feeds WHERE connection_uid = ? AND creator = ? AND expire_time > ?",
        (connection_uid, creator, tx.now),
    )
    return int(row[0]) if row else 0


def _keep_alive(tx: Transaction, feed: Feed) -> None:
    rested = tx.one("SELECT 1 FROM feeds WHERE uid = ? AND COALESCE(rest_time, 0) <= ?", (feed.uid, tx.now))
    tx.execute(
        "UPDATE feeds SET rest_time = ?, expire_time = ? WHERE uid = ?", (feed.rest_time, feed.expire_time, feed.uid)
    )
    if rested is not None:
        feeds_changed(tx)


def store_observations(tx: Transaction, feed: Feed, observations: Sequence[Observation]) -> None:
    """Stores what a feed knows of records, in place of what it knew."""
    names = ", ".join(OBSERVED)
    changed = ", ".join(f"{name} = excluded.{name}" for name in OBSERVED if name != "record_id")
    tx.many(
        f"INSERT INTO observations (feed, {names}) VALUES (?{', ?' * len(OBSERVED)})"
        f" ON CONFLICT (feed, record_id) DO UPDATE SET {changed}",
        [(feed.memory, *observed(one)) for one in observations],
    )


def _log(tx: Transaction, uid: str, changes: Sequence[Change]) -> None:
    if not changes:
        return
    last = sequences.draw(tx, LOG, len(changes))
    tx.many(
        "INSERT INTO changes (seq, feed, time, data) VALUES (?, ?, ?, ?)",
        [(last - len(changes) + index, uid, tx.now, change_to_json(one)) for index, one in enumerate(changes, start=1)],
    )


def _changed(feed: Feed) -> Conflict:
    return Conflict(
        f"the feed {feed.uid} has changed or gone while it was read",
        reason="FEED_CHANGED",
        metadata={"feed": feed.uid},
    )
