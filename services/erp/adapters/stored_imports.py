"""Imports and the results of their rows, in the store."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from sutler.errors import SutlerError, not_found
from sutler.status import to_status
from sutler.store import Database, Row, Transaction, leases
from sutler.store.holders import new_holder
from sutler.store.holding import SAFETY, Lease

from services.erp.adapters.rows import Table
from services.erp.adapters.stored_journal import touch
from services.erp.adapters.stored_keys import free_keys
from services.erp.attempts import DOMAIN
from services.erp.feed.model import Touch
from services.erp.imports import faults
from services.erp.imports.model import MAX_SHOWN, Asked, Held, Import, ImportSpec, Outcome, RowResult, State

SPEC = TypeAdapter(ImportSpec)
ASKED = TypeAdapter(Asked)
ABANDONED_DAYS = 7
AT_ONCE = 100


def _import(row: Row) -> Import:
    fields = dict(zip(IMPORTS.columns, row, strict=True))
    spec, asked = SPEC.validate_json(fields.pop("spec")), ASKED.validate_json(fields.pop("asked"))
    return Import(**fields | {"spec": spec, "asked": asked, "state": State(fields["state"])})


IMPORTS: Table[Import] = Table(
    "imports",
    ("uid", "tenant", "connection", "connection_uid", "id", "spec", "state", "next_index", "created_count",
     "updated_count", "unchanged_count", "failed_count", "asked", "create_time", "update_time", "end_time", "creator",
     "username", "correlation_id", "error", "revision"),
    lambda one: (
        one.uid, one.tenant, one.connection, one.connection_uid, one.id,
        SPEC.dump_json(one.spec).decode(), str(one.state), one.next_index, one.created_count, one.updated_count,
        one.unchanged_count, one.failed_count, ASKED.dump_json(one.asked).decode(), one.create_time, one.update_time,
        one.end_time, one.creator, one.username, one.correlation_id, one.error, one.revision,
    ),
    _import,
    ("uid",),
)  # fmt: skip


class StoredImports:
    """See :class:`services.erp.imports.model.ImportStore`.

    Args:
        db: The store.
        ttl: After how long another stream may go on with an import whose process does not answer.
    """

    def __init__(self, db: Database, ttl: timedelta) -> None:
        self._db = db
        self._ttl = ttl

    @asynccontextmanager
    async def hold(self, new: Import) -> AsyncIterator[Held]:
        """Holds an import, or stores a new one and holds it."""
        holder = new_holder()

        def take(tx: Transaction) -> Held:
            one = IMPORTS.find(tx, "connection_uid = ? AND id = ?", (new.connection_uid, new.id))
            if one is None:
                one = replace(new, create_time=tx.now, update_time=tx.now)
                IMPORTS.put(tx, one)
            fence = leases.acquire(tx, _lease(one.uid), holder, self._ttl)
            if fence is None:
                raise faults.fed(one.name, self._ttl.total_seconds())
            return Held(one, fence)

        began = time.monotonic()
        held = await self._db.write(take)
        lease = Lease(_lease(held.now.uid), held.fence, began + self._ttl.total_seconds() * SAFETY)
        keeper = asyncio.create_task(lease.keep(self._db, self._ttl))
        try:
            yield held
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            with suppress(SutlerError):  # then it runs out
                await self._db.write(lambda tx: leases.release(tx, _lease(held.now.uid), holder))

    async def ask(self, held: Held, asked: Asked) -> None:
        """Notes what the ERP will be asked for."""
        await self._change(held, replace(held.now, asked=asked))

    async def put(self, held: Held, results: Sequence[RowResult], touched: Sequence[Touch]) -> None:
        """Stores the results of the next rows."""
        first, failed = held.now.next_index, sum(one.outcome is Outcome.FAILED for one in results)
        chunk = (held.now.uid, first, first + len(results) - 1, failed, _to_json(results))
        await self._change(held, held.now.after(results), chunk, touched)

    async def end(self, held: Held, state: State, error: bytes = b"") -> None:
        """Ends an import."""
        await self._change(held, replace(held.now, state=state, error=error))

    async def results(self, one: Import, first: int, last: int) -> list[RowResult]:
        """Returns the results of some rows."""
        rows = await self._db.scan(
            lambda tx: tx.all(
                "SELECT first_index, results FROM import_chunks WHERE import_uid = ? AND last_index >= ?"
                " AND first_index < ? ORDER BY first_index",
                (one.uid, first, last),
            )
        )
        return [
            result
            for start, text in rows
            for index, result in enumerate(_from_json(text), start=start)
            if first <= index < last
        ]

    async def get(self, tenant: str, connection_id: str, import_id: str) -> Import:
        """Returns an import with its first failed rows."""

        def find(tx: Transaction) -> Import | None:
            where = "tenant = ? AND connection = ? AND id = ? ORDER BY create_time DESC"
            one = IMPORTS.find(tx, where, (tenant, connection_id, import_id))
            if one is None:
                return None
            if one.state is State.RUNNING and leases.is_free(tx, _lease(one.uid)):
                one = replace(one, state=State.INTERRUPTED)
            return replace(one, failed_rows=_failed(tx, one.uid))

        found = await self._db.scan(find)
        if found is None:
            raise not_found(f"connections/{connection_id}/imports/{import_id}")
        return found

    async def forget(self, age: float) -> None:
        """Ends imports with which nobody went on for 7 days, and deletes those that ended ``age`` seconds ago."""

        await self._db.write(_give_up)
        more = True
        while more:
            more = await self._db.write(lambda tx: _delete_old(tx, age))

    async def _change(
        self, held: Held, after: Import, chunk: Sequence[Any] = (), touched: Sequence[Touch] = ()
    ) -> None:
        """Stores what became of a held import."""

        def change(tx: Transaction) -> Import:
            leases.check(tx, _lease(after.uid), held.fence)
            stored = replace(
                after,
                revision=after.revision + 1,
                update_time=tx.now,
                end_time=tx.now if after.state.ended else None,
            )
            IMPORTS.put(tx, stored)
            if after.next_index >= after.asked.until:  # every row that may have been written has its result
                free_keys(tx, after.uid)
            if chunk:
                tx.execute("INSERT INTO import_chunks VALUES (?, ?, ?, ?, ?)", chunk)
            touch(tx, after.connection_uid, touched)
            return stored

        held.now = await self._db.write(change)


def busy_import(tx: Transaction, connection_uid: str) -> str:
    """Returns the name of an import that a stream feeds through a connection now, or nothing."""
    where = f"{IMPORTS.select} WHERE connection_uid = ? AND state = ?"
    running = [IMPORTS.read(row) for row in tx.all(where, (connection_uid, str(State.RUNNING)))]
    return next((one.name for one in running if not leases.is_free(tx, _lease(one.uid))), "")


def _give_up(tx: Transaction) -> None:
    due = tx.now - timedelta(days=ABANDONED_DAYS).total_seconds()
    rows = tx.all(f"{IMPORTS.select} WHERE state = ? AND update_time < ? LIMIT {AT_ONCE}", (str(State.RUNNING), due))
    for one in map(IMPORTS.read, rows):
        if leases.is_free(tx, _lease(one.uid)):
            error = to_status(faults.abandoned(one.name, ABANDONED_DAYS), DOMAIN).SerializeToString()
            tx.execute(
                "UPDATE imports SET state = ?, error = ?, end_time = ?, update_time = ?, revision = revision + 1"
                " WHERE uid = ?",
                (str(State.FAILED), error, tx.now, tx.now, one.uid),
            )


def _delete_old(tx: Transaction, age: float) -> bool:
    """Deletes a part of an import that ended long ago, and returns whether there was one."""
    old = tx.one("SELECT uid FROM imports WHERE end_time < ? LIMIT 1", (tx.now - age,))
    if old is None:
        return False
    chunks = tx.all("SELECT first_index FROM import_chunks WHERE import_uid = ? LIMIT ?", (old[0], AT_ONCE))
    gone = [(old[0], first) for (first,) in chunks]
    tx.many("DELETE FROM import_chunks WHERE import_uid = ? AND first_index = ?", gone)
    if len(chunks) < AT_ONCE:
        tx.execute("DELETE FROM imports WHERE uid = ?", (old[0],))
    return True


def _lease(uid: str) -> str:
    return f"erp.imports/{uid}"


def _failed(tx: Transaction, uid: str) -> tuple[tuple[int, RowResult], ...]:
    rows = tx.all(
        "SELECT first_index, results FROM import_chunks WHERE import_uid = ? AND failed_count > 0"
        f" ORDER BY first_index LIMIT {MAX_SHOWN}",
        (uid,),
    )
    found = [
        (index, result)
        for first, text in rows
        for index, result in enumerate(_from_json(text), start=first)
        if result.outcome is Outcome.FAILED
    ]
    return tuple(found[:MAX_SHOWN])


def _to_json(results: Sequence[RowResult]) -> str:
    rows = [[str(one.outcome), one.record_id, one.external_id, base64.b64encode(one.error).decode()] for one in results]
    return json.dumps(rows, separators=(",", ":"))


def _from_json(text: str) -> list[RowResult]:
    return [
        RowResult(Outcome(outcome), record_id, external_id, base64.b64decode(error))
        for outcome, record_id, external_id, error in json.loads(text)
    ]
