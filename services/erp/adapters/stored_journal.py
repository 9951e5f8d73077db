"""The journal of writes, in the store."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sutler.errors import not_found
from sutler.idempotency import Once
from sutler.store import Database, Transaction, requests, sequences

from services.erp import filters
from services.erp.adapters.rows import ENTRIES
from services.erp.adapters.stored_keys import free_keys
from services.erp.feed.model import Touch
from services.erp.journal import Entry, State
from services.erp.ports import Query

TOUCHES = "erp_touches"


class StoredJournal:
    """See :class:`services.erp.ports.JournalStore`.

    Args:
        db: The store.
        keep: For how long answers to requests are remembered.
    """

    def __init__(self, db: Database, keep: timedelta) -> None:
        self._db = db
        self._keep = keep

    async def begin(self, entry: Entry) -> Entry | None:
        """Stores an entry, unless one of the same request is there."""

        def change(tx: Transaction) -> Entry | None:
            if entry.request_id:
                earlier = ENTRIES.find(
                    tx,
                    "tenant = ? AND method = ? AND request_id = ? AND request_id <> ''",
                    (entry.tenant, entry.method, entry.request_id.lower()),
                )
                if earlier is not None:
                    return earlier
            columns = dict(zip(ENTRIES.columns, ENTRIES.write(entry), strict=True))
            columns |= {"create_time": tx.now, "update_time": tx.now}
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            tx.execute(f"INSERT INTO journal ({names}) VALUES ({marks})", list(columns.values()))
            return None

        return await self._db.write(change)

    async def take(self, entry: Entry, lease_time: float, owner: str) -> bool:
        """Makes a process the owner of an entry that has not ended."""
        taken = await self._db.write(
            lambda tx: tx.execute(
                "UPDATE journal SET lease_time = ?, owner = ?, update_time = ?, revision = revision + 1"
                " WHERE uid = ? AND state = ?",
                (lease_time, owner, tx.now, entry.uid, str(State.RUNNING)),
            )
        )
        return taken > 0

    async def done(self, entry: Entry, record_ids: Sequence[int], touched: Sequence[Touch]) -> None:
        """Notes that the ERP did it."""

        def change(tx: Transaction) -> None:
            tx.execute(
                "UPDATE journal SET state = ?, record_ids = ?, update_time = ?, end_time = ?, revision = revision + 1"
                " WHERE uid = ?",
                (str(State.SUCCEEDED), json.dumps(list(record_ids)), tx.now, tx.now, entry.uid),
            )
            touch(tx, entry.connection_uid, touched)

        await self._db.write(change)

    async def finish(self, entry: Entry, once: Once | None, result: Any, touched: Sequence[Touch]) -> None:
        """Removes an entry, tells the feeds, and remembers the answer."""

        def change(tx: Transaction) -> None:
            _remove(tx, entry)
            touch(tx, entry.connection_uid, touched)
            requests.remember(tx, once, result, self._keep)

        await self._db.write(change)

    async def drop(self, entry: Entry) -> None:
        """Removes an entry whose write never happened."""
        await self._db.write(lambda tx: _remove(tx, entry))

    async def unknown(self, entry: Entry, error: bytes) -> None:
        """Notes that nobody can know the outcome."""
        await self._db.write(
            lambda tx: tx.execute(
                "UPDATE journal SET state = ?, error = ?, update_time = ?, end_time = ?, revision = revision + 1"
                " WHERE uid = ?",
                (str(State.OUTCOME_UNKNOWN), error, tx.now, tx.now, entry.uid),
            )
        )

    async def abandoned(self, limit: int) -> list[Entry]:
        """Returns entries that are not repeatable and whose owner is overdue."""

        def find(tx: Transaction) -> list[Entry]:
            rows = tx.all(
                f"{ENTRIES.select} WHERE state = ? AND repeatable = 0 AND lease_time < ? LIMIT ?",
                (str(State.RUNNING), tx.now, limit),
            )
            return [ENTRIES.read(row) for row in rows]

        return await self._db.scan(find)

    async def get(self, tenant: str, connection_id: str, uid: str) -> Entry:
        """Returns an entry that is not repeatable."""
        found = await self._db.read(
            lambda tx: ENTRIES.find(
                tx, "uid = ? AND tenant = ? AND connection = ? AND repeatable = 0", (uid, tenant, connection_id)
            )
        )
        if found is None:
            raise not_found(f"connections/{connection_id}/transactions/{uid}")
        return found

    async def page(self, tenant: str, connection_id: str, query: Query) -> list[Entry]:
        """Returns a page of entries that are not repeatable."""
        return await self._db.scan(
            lambda tx: ENTRIES.page(
                tx,
                "tenant = ? AND connection = ? AND repeatable = 0",
                (tenant, connection_id),
                query,
                filters.TRANSACTIONS,
            )
        )


def _remove(tx: Transaction, entry: Entry) -> None:
    tx.execute("DELETE FROM journal WHERE uid = ?", (entry.uid,))
    if entry.keys:
        free_keys(tx, entry.uid)


def touch(tx: Transaction, connection_uid: str, touched: Sequence[Touch]) -> None:
    """Tells the feeds of the model, if there are any."""
    if not touched:
        return
    feed = tx.one(
        "SELECT 1 FROM feeds WHERE connection_uid = ? AND model = ? LIMIT 1", (connection_uid, touched[0].model)
    )
    if feed is None:
        return
    last = sequences.draw(tx, TOUCHES, len(touched))
    tx.many(
        "INSERT INTO touches (seq, connection_uid, model, record_id, correlation_id, actor, time)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                last - len(touched) + index,
                connection_uid,
                one.model,
                one.record_id,
                one.correlation_id,
                one.actor,
                tx.now,
            )
            for index, one in enumerate(touched, start=1)
        ],
    )
