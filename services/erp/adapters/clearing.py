"""Deletes what feeds knew and told that are gone or have begun anew: millions of rows, so a piece at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from sutler.store import Database, Transaction

AT_ONCE = 1000
"""How many rows are deleted at a time, so that other changes are not held up."""

PAUSE_SECONDS = 0.01
ALL = 2**63 - 1


async def clear(db: Database) -> None:
    """Deletes all that no feed has the key of, and changes before the start of a feed's log."""
    for table, number, limit in (("observations", "record_id", _forgotten), ("changes", "seq", _untold)):
        key = ""
        while found := await db.read(partial(_next, table=table, number=number, limit=limit, after=key)):
            key, last = found
            more = last is not None
            while more:
                more = await db.write(partial(_delete, table, number, key, last or 0))
                await asyncio.sleep(PAUSE_SECONDS)


def _next(
    tx: Transaction, *, table: str, number: str, limit: Callable[[Transaction, str], int], after: str
) -> tuple[str, int | None] | None:
    """Returns the next key of a table, and the number up to which its rows are to go; None if none are."""
    row = tx.one(f"SELECT feed FROM {table} WHERE feed > ? ORDER BY feed LIMIT 1", (after,))
    if row is None:
        return None
    last = limit(tx, row[0])
    some = tx.one(f"SELECT 1 FROM {table} WHERE feed = ? AND {number} <= ? LIMIT 1", (row[0], last))
    return row[0], last if some else None


def _forgotten(tx: Transaction, memory: str) -> int:
    """Returns up to which id what is known under a key is to go: all of it if no feed has that key."""
    uid, _, epoch = memory.partition("/")
    live = tx.one("SELECT 1 FROM feeds WHERE uid = ? AND epoch = ?", (uid, int(epoch or 0)))
    return ALL if live is None else -1


def _untold(tx: Transaction, uid: str) -> int:
    """Returns up to which number the changes of a feed are to go: those before the start of its log."""
    start = tx.one("SELECT log_start FROM feeds WHERE uid = ?", (uid,))
    return ALL if start is None else int(start[0])


def _delete(table: str, number: str, key: str, last: int, tx: Transaction) -> bool:
    """Deletes some rows of a key; returns whether there may be more."""
    some = f"SELECT {number} FROM {table} WHERE feed = ? AND {number} <= ? ORDER BY {number} LIMIT ?"
    deleted = tx.execute(f"DELETE FROM {table} WHERE feed = ? AND {number} IN ({some})", (key, key, last, AT_ONCE))
    return deleted == AT_ONCE
