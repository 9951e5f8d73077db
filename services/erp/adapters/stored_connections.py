"""Connections and what etags cover, in the store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, not_found
from sutler.idempotency import Once
from sutler.store import Database, Transaction, requests

from services.erp import filters
from services.erp.adapters.rows import CONNECTIONS, FEEDS, secrets_of, secrets_text
from services.erp.adapters.stored_feeds import feeds_changed
from services.erp.adapters.stored_imports import busy_import
from services.erp.connections import COLLECTION, Condition, Connection, State
from services.erp.feed.looking import begun_elsewhere
from services.erp.ports import Query
from services.erp.records import FieldSet

DAY_SECONDS = 86_400.0
MAX_KNOWN = 10_000


class StoredConnections:
    """See :class:`services.erp.ports.ConnectionStore`.

    Args:
        db: The store.
        keep: For how long answers to requests are remembered.
    """

    def __init__(self, db: Database, keep: timedelta) -> None:
        self._db = db
        self._keep = keep
        self._known: dict[tuple[str, str], tuple[Connection, int | None]] = {}

    async def get(self, tenant: str, connection_id: str) -> Connection:
        """Returns a connection."""
        found = await self._db.read(lambda tx: find_connection(tx, tenant, connection_id))
        if found is None:
            raise not_found(f"{COLLECTION}{connection_id}")
        return found

    async def current(self, tenant: str, connection_id: str) -> Connection:
        """Returns a connection; one that has not changed is not read again."""
        key, mark = (tenant, connection_id), self._db.mark()
        known, seen = self._known.get(key, (None, None))
        if known is not None and mark is not None and mark == seen:
            return known
        row = await self._db.one(
            "SELECT uid, revision FROM connections WHERE tenant = ? AND key = ?", (tenant, connection_id.lower())
        )
        if known is None or row is None or (known.uid, known.revision) != tuple(row):
            self._known.pop(key, None)
            known = await self.get(tenant, connection_id)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[key] = (known, mark)
        return known

    async def page(self, tenant: str, query: Query) -> list[Connection]:
        """Returns a page of a tenant's connections."""
        return await self._db.scan(lambda tx: CONNECTIONS.page(tx, "tenant = ?", (tenant,), query, filters.CONNECTIONS))

    async def in_state(self, states: Sequence[State], limit: int) -> list[Connection]:
        """Returns connections of all tenants that are in one of the states."""
        marks = ", ".join("?" * len(states))
        names = [str(state) for state in states]

        def find(tx: Transaction) -> list[Connection]:
            rows = tx.all(f"{CONNECTIONS.select} WHERE state IN ({marks}) ORDER BY state_time LIMIT ?", (*names, limit))
            return [CONNECTIONS.read(row) for row in rows]

        return await self._db.scan(find)

    async def save(
        self,
        tenant: str,
        connection_id: str,
        edit: Callable[[Connection | None, float], Connection],
        once: Once | None,
    ) -> Connection:
        """Stores what ``edit`` makes of a connection."""

        def change(tx: Transaction) -> Connection:
            stored = CONNECTIONS.find(tx, "tenant = ? AND key = ?", (tenant, connection_id.lower()))
            mine = stored if stored is not None and stored.id == connection_id else None
            made = edit(mine, tx.now)
            if mine is None and stored is not None:
                raise AlreadyExists(f"{stored.name} exists; names differ in more than case", resource=stored.name)
            if mine is not None and mine.epoch != made.epoch:
                if not mine.spec.disabled:
                    _check_idle(tx, mine)
                _begin_feeds_anew(tx, made)
            CONNECTIONS.put(tx, made)
            requests.remember(tx, once, made, self._keep)
            return made

        return await self._db.write(change)

    async def delete(
        self,
        tenant: str,
        connection_id: str,
        check: Callable[[Connection | None], bool],
        once: Once | None,
        *,
        force: bool,
    ) -> str | None:
        """Deletes a connection with what belongs to it."""

        def change(tx: Transaction) -> str | None:
            stored = find_connection(tx, tenant, connection_id)
            go_on = check(stored)
            if stored is not None:
                _check_children(tx, stored, force=force)
            if go_on and stored is not None:
                _delete(tx, stored)
            if go_on or stored is None:
                requests.remember(tx, once, None, self._keep)
            return stored.uid if go_on and stored is not None else None

        return await self._db.write(change)

    async def secrets(self, after_uid: str, limit: int) -> list[tuple[str, Mapping[str, bytes]]]:
        """Returns the encrypted secrets of connections of all tenants."""
        rows = await self._db.scan(
            lambda tx: tx.all(
                "SELECT uid, secrets FROM connections WHERE uid > ? ORDER BY uid LIMIT ?", (after_uid, limit)
            )
        )
        return [(uid, secrets_of(text)) for uid, text in rows]

    async def reseal(self, uid: str, before: Mapping[str, bytes], after: Mapping[str, bytes]) -> None:
        """Stores the same secrets encrypted anew."""
        await self._db.write(
            lambda tx: tx.execute(
                "UPDATE connections SET secrets = ? WHERE uid = ? AND secrets = ?",
                (secrets_text(after), uid, secrets_text(before)),
            )
        )

    async def keep_condition(self, connection: Connection, condition: Condition) -> None:
        """Stores how well a connection's ERP answers."""
        await self._db.write(
            lambda tx: tx.execute(
                "UPDATE connections SET state = ?, state_reason = ?, state_time = ?, server_version = ?, clock_skew = ?"
                " WHERE uid = ? AND revision = ?",
                (
                    str(condition.state),
                    condition.reason,
                    condition.since,
                    condition.server_version,
                    condition.clock_skew,
                    connection.uid,
                    connection.revision,
                ),
            )
        )


def find_connection(tx: Transaction, tenant: str, connection_id: str) -> Connection | None:
    """Returns a connection by its exact id, or None."""
    found = CONNECTIONS.find(tx, "tenant = ? AND key = ?", (tenant, connection_id.lower()))
    return found if found is not None and found.id == connection_id else None


def _begin_feeds_anew(tx: Transaction, connection: Connection) -> None:
    row = tx.one("SELECT MAX(seq) FROM touches")
    touch = (row[0] if row else None) or 0
    for one in tx.all(f"{FEEDS.select} WHERE connection_uid = ?", (connection.uid,)):
        FEEDS.put_with(tx, begun_elsewhere(FEEDS.read(one), tx.now, touch), {"log_start": 0})
    feeds_changed(tx)


def _check_children(tx: Transaction, connection: Connection, *, force: bool) -> None:
    row = tx.one("SELECT COUNT(*) FROM subscriptions WHERE connection_uid = ?", (connection.uid,))
    assert row is not None
    if row[0] and not force:
        raise FailedPrecondition(
            f"{connection.name} has {row[0]} subscriptions; set force to delete them too",
            reason="HAS_CHILDREN",
            metadata={"children": str(row[0])},
            resource=connection.name,
        )
    _check_idle(tx, connection)


def _check_idle(tx: Transaction, connection: Connection) -> None:
    row = tx.one(
        "SELECT name FROM journal WHERE connection_uid = ? AND state IN ('RUNNING', 'UNDOING') AND lease_time > ?"
        " LIMIT 1",
        (connection.uid, tx.now),
    )
    busy = row[0] if row else busy_import(tx, connection.uid)
    if busy:
        raise Conflict(
            f"{busy} writes through {connection.name} now; try again when it has ended",
            reason="OPERATION_IN_PROGRESS",
            metadata={"operation": busy},
        )


def _delete(tx: Transaction, connection: Connection) -> None:
    """Deletes a connection; what its feeds knew, and touches, are many and go in pieces later."""
    feeds_changed(tx)
    for table in ("feeds", "subscriptions"):
        tx.execute(f"DELETE FROM {table} WHERE connection_uid = ?", (connection.uid,))
    tx.execute("DELETE FROM connections WHERE uid = ?", (connection.uid,))


class StoredFieldSets:
    """See :class:`services.erp.ports.FieldSets`.

    Args:
        db: The store.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._kept: dict[str, float] = {}

    async def keep(self, fields: FieldSet) -> None:
        """Remembers a set of fields; one that was noted today costs nothing."""
        digest, now = fields.digest, time.time()
        if now - self._kept.get(digest, 0.0) < DAY_SECONDS:
            return
        await self._db.write(
            lambda tx: tx.execute(
                "INSERT INTO field_sets (digest, fields, binaries, language, use_time) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (digest) DO UPDATE SET use_time = excluded.use_time",
                (digest, json.dumps(fields.fields), int(fields.binaries), fields.language, tx.now),
            )
        )
        if len(self._kept) >= MAX_KNOWN:
            self._kept.clear()
        self._kept[digest] = now

    async def find(self, digest: str) -> FieldSet | None:
        """Returns the set of fields that an etag names."""
        row = await self._db.read(
            lambda tx: tx.one("SELECT fields, binaries, language FROM field_sets WHERE digest = ?", (digest,))
        )
        return None if row is None else FieldSet(tuple(json.loads(row[0])), bool(row[1]), row[2])
