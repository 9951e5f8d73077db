"""How far retention has come in what watches read, per tenant: a token from before that is too old."""

from __future__ import annotations

from collections.abc import Iterable

from sutler.store import Transaction

EVENTS = "events"
EXECUTIONS = "executions"
SUBJECTS = "subjects"


def raise_marks(tx: Transaction, log: str, deleted: Iterable[tuple[str, int]]) -> None:
    """Notes what is deleted: tenants, each with the number of a change."""
    highest: dict[str, int] = {}
    for tenant, number in deleted:
        highest[tenant] = max(number, highest.get(tenant, 0))
    tx.many(
        "INSERT INTO watch_marks (tenant, log, number) VALUES (?, ?, ?) ON CONFLICT (tenant, log) DO UPDATE SET"
        " number = CASE WHEN excluded.number > watch_marks.number THEN excluded.number ELSE watch_marks.number END",
        [(tenant, log, number) for tenant, number in sorted(highest.items())],
    )


def bounds(tx: Transaction, tenant: str, logs: tuple[str, ...], sequence: str) -> tuple[int, int]:
    """Returns the number after which everything of some logs is kept, and the newest number of a sequence."""
    which = ", ".join("?" * len(logs))
    mark = tx.one(f"SELECT MAX(number) FROM watch_marks WHERE tenant = ? AND log IN ({which})", (tenant, *logs))
    drawn = tx.one("SELECT value FROM sequences WHERE name = ?", (sequence,))
    oldest = int(mark[0] or 0) if mark else 0
    return oldest, max(oldest, int(drawn[0]) if drawn else 0)
