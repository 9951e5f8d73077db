"""Transactions of several steps, in the store: the entry in the journal, the steps in a table of their own."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from sutler.idempotency import Once
from sutler.store import Database, Row, requests
from sutler.store import Transaction as Tx
from sutler.store.holding import lead
from sutler.store.leases import check, is_free

from services.erp.adapters.rows import ENTRIES
from services.erp.adapters.stored_journal import touch
from services.erp.adapters.stored_keys import free_keys
from services.erp.feed.model import Touch
from services.erp.journal import Entry, Kind, State
from services.erp.transactions import faults
from services.erp.transactions.model import Step, StepSpec, StepState, Transaction
from services.erp.transactions.store import Lead

SPEC = TypeAdapter(StepSpec)
PROGRESS = ("record_ids", "keys", "repeatable", "old_values", "new_values", "result")
SAME_REQUEST = "tenant = ? AND method = ? AND request_id = ? AND request_id <> ''"


def lease_name(uid: str) -> str:
    """Returns under which name a process holds a transaction."""
    return f"erp.transaction/{uid}"


def leading(db: Database, ttl: timedelta) -> Lead:
    """Returns what gives one process of all the right to work on a transaction.

    Args:
        db: Where the leases are.
        ttl: After how long another process takes over from one that does not answer.
    """

    async def lead_one(uid: str, work: Callable[[int], Awaitable[None]]) -> None:
        await lead(db, lease_name(uid), lambda lease: work(lease.fence), ttl=ttl)

    return lead_one


def _step(row: Row) -> Step:
    _, position, spec, state, progress, error, undo_error, started, ended, undone = row
    known = json.loads(progress)
    return Step(
        spec=SPEC.validate_json(spec),
        position=position,
        state=StepState(state),
        record_ids=tuple(known["record_ids"]),
        keys=tuple(known["keys"]),
        repeatable=known["repeatable"],
        old_values=tuple(known["old_values"]),
        new_values=tuple(known["new_values"]),
        result=known["result"],
        error=error,
        undo_error=undo_error,
        start_time=started,
        end_time=ended,
        undo_time=undone,
    )


COLUMNS = ("uid", "position", "spec", "state", "progress", "error", "undo_error", "start_time", "end_time", "undo_time")


class StoredTransactions:
    """See :class:`services.erp.transactions.store.TransactionStore`.

    Args:
        db: The store.
        keep: For how long answers to requests are remembered.
    """

    def __init__(self, db: Database, keep: timedelta) -> None:
        self._db = db
        self._keep = keep

    async def begin(self, entry: Entry, steps: Sequence[Step]) -> Entry | None:
        """Stores a transaction, unless one of the same request is there."""

        def change(tx: Tx) -> Entry | None:
            earlier = _earlier(tx, entry.tenant, entry.method, entry.request_id, entry.digest)
            if earlier is not None:
                return earlier
            named = ENTRIES.find(tx, "tenant = ? AND name = ?", (entry.tenant, entry.name))
            if named is not None:
                if named.state is not State.UNDONE or not entry.request_id or named.request_id != entry.request_id:
                    raise faults.name_taken(entry.name)
                _drop(tx, named.uid)
            columns = dict(zip(ENTRIES.columns, ENTRIES.write(entry), strict=True))
            columns |= {"create_time": tx.now, "update_time": tx.now}
            names, marks = ", ".join(columns), ", ".join("?" * len(columns))
            tx.execute(f"INSERT INTO journal ({names}) VALUES ({marks})", list(columns.values()))
            _put(tx, entry.uid, steps)
            return None

        return await self._db.write(change)

    async def earlier(self, once: Once) -> Entry | None:
        """Returns the transaction that the same request began, unless it was undone."""
        method = once.method.rpartition("/")[2]
        return await self._db.read(lambda tx: _earlier(tx, once.tenant, method, once.request_id, once.hash))

    async def load(self, uid: str) -> Transaction | None:
        """Returns a transaction; None if it is gone."""
        return await self._db.scan(lambda tx: _load(tx, "uid = ?", (uid,)))

    async def find(self, tenant: str, name: str) -> Transaction | None:
        """Returns a transaction that is kept, by its name; None if there is none."""
        return await self._db.scan(lambda tx: _load(tx, "tenant = ? AND name = ? AND repeatable = 0", (tenant, name)))

    async def save(self, fence: int, entry: Entry, steps: Sequence[Step], touched: Sequence[Touch] = ()) -> None:
        """Stores where a transaction and some of its steps stand."""

        def change(tx: Tx) -> None:
            check(tx, lease_name(entry.uid), fence)
            touch(tx, entry.connection_uid, touched)
            if entry.end_time is not None:
                free_keys(tx, entry.uid)
            if entry.repeatable and entry.state is State.UNDONE:
                _drop(tx, entry.uid)
                return
            tx.execute(
                "UPDATE journal SET state = ?, error = ?, end_time = ?, repeatable = ?, update_time = ?,"
                " revision = revision + 1 WHERE uid = ?",
                (str(entry.state), entry.error, entry.end_time, int(entry.repeatable), tx.now, entry.uid),
            )
            _put(tx, entry.uid, steps)
            if entry.end_time is not None:  # so that both are kept equally long
                tx.execute("UPDATE journal_steps SET update_time = ? WHERE uid = ?", (tx.now, entry.uid))

        await self._db.write(change)

    async def answered(self, entry: Entry | None, once: Once | None, result: Any) -> None:
        """Remembers the answer of a request; its transaction goes if it is not kept."""

        def change(tx: Tx) -> None:
            if entry is not None and entry.repeatable:
                _drop(tx, entry.uid)
            requests.remember(tx, once, result, self._keep)

        if once is not None or (entry is not None and entry.repeatable):
            await self._db.write(change)

    async def left_open(self, limit: int) -> list[Entry]:
        """Returns transactions that have not ended and that no living process is at."""

        def find(tx: Tx) -> list[Entry]:
            rows = tx.all(
                f"{ENTRIES.select} WHERE state IN (?, ?) AND kind = ? ORDER BY create_time LIMIT ?",
                (str(State.RUNNING), str(State.UNDOING), str(Kind.STEPS), limit),
            )
            return [one for one in map(ENTRIES.read, rows) if is_free(tx, lease_name(one.uid))]

        return await self._db.scan(find)


def _earlier(tx: Tx, tenant: str, method: str, request_id: str, digest: bytes) -> Entry | None:
    """Returns what the same request began, unless it was undone; and what another request under its id began."""
    if not request_id:
        return None
    rows = tx.all(f"{ENTRIES.select} WHERE {SAME_REQUEST}", (tenant, method, request_id.lower()))
    found = map(ENTRIES.read, rows)
    return next((one for one in found if one.state is not State.UNDONE or one.digest != digest), None)


def _load(tx: Tx, where: str, params: Sequence[Any]) -> Transaction | None:
    entry = ENTRIES.find(tx, where, params)
    if entry is None:
        return None
    rows = tx.all(f"SELECT {', '.join(COLUMNS)} FROM journal_steps WHERE uid = ? ORDER BY position", (entry.uid,))
    return Transaction(entry, tuple(_step(row) for row in rows))


def _put(tx: Tx, uid: str, steps: Sequence[Step]) -> None:
    changed = ", ".join(f"{name} = excluded.{name}" for name in (*COLUMNS[3:], "update_time"))
    tx.many(
        f"INSERT INTO journal_steps ({', '.join(COLUMNS)}, update_time) VALUES ({', '.join('?' * 11)})"
        f" ON CONFLICT (uid, position) DO UPDATE SET {changed}",
        [
            (
                uid, one.position, SPEC.dump_json(one.spec).decode(), str(one.state),
                json.dumps({name: getattr(one, name) for name in PROGRESS}), one.error, one.undo_error,
                one.start_time, one.end_time, one.undo_time, tx.now,
            )
            for one in steps
        ],
    )  # fmt: skip


def _drop(tx: Tx, uid: str) -> None:
    tx.execute("DELETE FROM journal_steps WHERE uid = ?", (uid,))
    tx.execute("DELETE FROM journal WHERE uid = ?", (uid,))
