"""Remembers the first answer to each request, in the same transaction as its change."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from sutler.idempotency import Once, Remembered, RequestRepeated
from sutler.store.database import Database
from sutler.store.transaction import Transaction

KEEP = timedelta(days=7)
"""How long an answer is remembered if the settings say nothing else."""


COLUMNS = "tenant, method, request_id, hash, answer, expire_time"
_FIND = (
    "SELECT hash, answer, expire_time FROM requests"
    " WHERE tenant = ? AND method = ? AND request_id = ? AND expire_time > ?"
)


def find(tx: Transaction, tenant: str, method: str, request_id: str) -> Remembered | None:
    """Returns the first answer to a request, or None if there is none or it is forgotten."""
    row = tx.one(_FIND, (tenant, method, request_id, tx.now))
    return Remembered(*row) if row else None


def remember(tx: Transaction, once: Once | None, result: Any, keep: timedelta = KEEP) -> None:
    """Remembers the answer of the change that ``tx`` is.

    Args:
        tx: The change.
        once: Which request it answers; None if the caller gave no ``request_id``, then nothing is done.
        result: What the change returns; ``once.encode`` makes the answer of it.
        keep: For how long.

    Raises:
        RequestRepeated: If the request was answered before; the whole change must not happen.
    """
    if once is None:
        return
    known = (once.tenant, once.method, once.request_id, once.hash, once.encode(result), tx.now + keep.total_seconds())
    if tx.hurried:
        tx.insert("requests", COLUMNS, known)
        return
    stored = tx.execute(
        f"INSERT INTO requests ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (tenant, method, request_id) DO UPDATE"
        " SET hash = excluded.hash, answer = excluded.answer, expire_time = excluded.expire_time"
        " WHERE requests.expire_time <= ?",
        (*known, tx.now),
    )
    if not stored:
        first = find(tx, once.tenant, once.method, once.request_id)
        assert first is not None
        raise RequestRepeated(first)


class StoredAnswers:
    """Looks first answers up for the idempotency interceptor.

    Args:
        db: Where they are remembered.
        late: The methods whose change finds out itself: see :class:`sutler.interceptors.idempotency.Answers`.
        cancellable: The methods whose calls end with their callers: see there.
    """

    def __init__(self, db: Database, *, late: Collection[str] = (), cancellable: Collection[str] = ()) -> None:
        self._db = db
        self.late = late
        self.cancellable = cancellable

    async def find(self, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
        """Returns the hash of the request and the serialised answer, or None."""
        row = await self._db.one(_FIND, (tenant, method, request_id, self._db.now()))
        return (row[0], row[1]) if row else None
