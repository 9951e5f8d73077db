"""Events of all tenants in the order in which they were accepted, for whoever carries them elsewhere."""

from __future__ import annotations

from sutler.store import Transaction

from services.rule.adapters.database.rows import EVENT_FULL, event_from
from services.rule.events import Event

BATCH_BYTES = 3 * 1024 * 1024

_SIZE = "COALESCE(LENGTH(data), 0) + COALESCE(LENGTH(binary_data), 0)"


def events_after(tx: Transaction, number: int, limit: int) -> list[Event]:
    """Returns events after a number, with their data: one if there is one, else not many more bytes than 3 MiB."""
    last, total = 0, 0
    for seq, size in tx.all(f"SELECT seq, {_SIZE} FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (number, limit)):
        total += size
        if last and total > BATCH_BYTES:
            break
        last = seq
    rows = tx.all(f"SELECT {EVENT_FULL} FROM events WHERE seq > ? AND seq <= ? ORDER BY seq", (number, last))
    return [event_from(row) for row in rows]
