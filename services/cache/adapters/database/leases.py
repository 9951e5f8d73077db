"""Leases in a table. Where a cache has none, nobody looks for them: their number is kept beside its usage."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

import orjson
from sutler.store import Transaction

from services.cache.adapters.database import rows
from services.cache.adapters.database.totals import Totals, change
from services.cache.leases import Lease
from services.cache.results import Swept

CHUNK = 200
"""How many leases that have ended on their own are swept at once."""

_PLACE = "space = ? AND key = ?"


def find(tx: Transaction, total: Totals, key: str) -> Lease | None:
    """Returns the lease of a key, if it lasts."""
    if not total.leases:
        return None
    row = tx.one(f"SELECT token, tags, expire_time FROM key_leases WHERE {_PLACE}", (total.space, rows.stored_key(key)))
    lease = rows.to_lease(key, row) if row is not None else None
    return lease if lease is not None and lease.alive(tx.now) else None


def grant(tx: Transaction, total: Totals, lease: Lease) -> None:
    """Gives a lease, in the place of one that is there, which is lost unless it is the same."""
    place = (total.space, rows.stored_key(lease.key))
    row = tx.one(f"DELETE FROM key_leases WHERE {_PLACE} RETURNING token", place) if total.leases else None
    total.leases -= row is not None
    total.lost_leases += row is not None and row[0] != lease.token
    tags = orjson.dumps(lease.tags).decode()
    tx.execute(
        "INSERT INTO key_leases (space, key, tenant, token, tags, expire_time) VALUES (?, ?, ?, ?, ?, ?)",
        (*place, total.tenant, lease.token, tags, lease.expire_time),
    )
    total.leases += 1


def end(tx: Transaction, total: Totals, key: str) -> None:
    """Ends the lease of a key, if there is one."""
    if total.leases:
        end_where(tx, total, "key = ?", (rows.stored_key(key),))


def fulfil(tx: Transaction, total: Totals, key: str) -> None:
    """Ends the lease of a key with a put of its holder."""
    total.leases -= tx.execute(f"DELETE FROM key_leases WHERE {_PLACE}", (total.space, rows.stored_key(key)))


def end_where(tx: Transaction, total: Totals, condition: str, params: tuple[object, ...]) -> None:
    """Ends the leases of a cache whose keys fit a condition."""
    sql = f"DELETE FROM key_leases WHERE space = ? AND {condition}"
    count = tx.execute(sql, (total.space, *params))  # type: ignore[arg-type]
    total.leases -= count
    total.lost_leases += count


def end_tagged(tx: Transaction, total: Totals, tags: Collection[str]) -> None:
    """Ends the leases that were given with one of these tags, and those of entries that have one."""
    wanted = set(tags)
    for key, given in tx.all("SELECT key, tags FROM key_leases WHERE space = ?", (total.space,)):
        lease = rows.to_lease(key, ("", given, 0.0))
        if lease is None or not wanted.isdisjoint(lease.tags):
            end_where(tx, total, "key = ?", (key,))
    marks = ", ".join("?" * len(tags))
    tagged = f"key IN (SELECT key FROM entry_tags WHERE space = ? AND tag IN ({marks}))"
    end_where(tx, total, tagged, (total.space, *tags))


def overdue(tx: Transaction) -> bool:
    """Returns whether there are leases that have ended on their own."""
    return tx.one("SELECT 1 FROM key_leases WHERE expire_time <= ? LIMIT 1", (tx.now,)) is not None


def sweep(tx: Transaction) -> Swept:
    """Removes leases that have ended on their own."""
    found = tx.all(
        "SELECT space, key FROM key_leases WHERE expire_time <= ? ORDER BY expire_time LIMIT ?", (tx.now, CHUNK)
    )
    lost: dict[int, int] = {}
    for space, group in groupby(sorted(found), key=lambda row: row[0]):
        gone = [(space, key) for _, key in group]
        tx.many(f"DELETE FROM key_leases WHERE {_PLACE}", gone)
        change(tx, "UPDATE spaces SET leases = leases - ? WHERE space = ?", (len(gone), space))
        lost[space] = len(gone)
    return Swept({}, len(found) == CHUNK, lost)
