"""How far retention has come in the changes of each collection and tenant: a watch from before that is too old."""

from __future__ import annotations

from collections.abc import Sequence

from sutler.store import Row, Transaction

COLUMNS = "collection, tenant, seq"
"""What :func:`note` must know of each change that is deleted."""


def note(tx: Transaction, deleted: Sequence[Row]) -> None:
    """Notes changes that are deleted: rows of :data:`COLUMNS`."""
    highest: dict[tuple[str, str], int] = {}
    for collection, tenant, seq in deleted:
        highest[collection, tenant] = max(seq, highest.get((collection, tenant), 0))
    tx.many(
        "INSERT INTO change_marks (collection, tenant, seq) VALUES (?, ?, ?) ON CONFLICT (collection, tenant)"
        " DO UPDATE SET seq = CASE WHEN excluded.seq > change_marks.seq THEN excluded.seq ELSE change_marks.seq END",
        [(*log, seq) for log, seq in sorted(highest.items())],
    )


def oldest(tx: Transaction, collection: str, tenant: str) -> int:
    """Returns the position after which all changes of a tenant in a collection are kept.

    The row without a collection and tenant holds for all: it says what was deleted before there were marks.
    """
    found = tx.one(
        "SELECT MAX(seq) FROM change_marks WHERE (collection = ? AND tenant = ?) OR (collection = '' AND tenant = '')",
        (collection, tenant),
    )
    return 0 if found is None else int(found[0] or 0)
