"""Events that wait to be told: stored in the same transaction as the change that causes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from sutler.events import Event
from sutler.store import sequences
from sutler.store.transaction import Transaction

SEQUENCE = "outbox"
BATCH_BYTES = 3 * 1024 * 1024
"""A batch of events ends before its data are larger than this, so that it fits into one message of 4 MiB."""


def append(tx: Transaction, *events: Event) -> None:
    """Stores events behind those that wait.

    Raises:
        ValueError, TypeError: If the data of an event are not what JSON knows; NaN and infinity are not.
    """
    last = sequences.draw(tx, SEQUENCE, len(events)) if events else 0
    texts: dict[int, str] = {}
    for event in events:  # of one change they often tell the same
        if id(event.data) not in texts:
            texts[id(event.data)] = _text(event)
    tx.insert(
        "outbox",
        "seq, tenant, id, source, type, subject, time, data, correlation_id, traceparent, actor",
        *(
            (
                last - len(events) + index,
                event.tenant,
                event.id,
                event.source,
                event.type,
                event.subject,
                event.time.timestamp(),
                texts[id(event.data)],
                event.correlation_id,
                event.traceparent,
                event.actor,
            )
            for index, event in enumerate(events, start=1)
        ),
    )


def _text(event: Event) -> str:
    return json.dumps(dict(event.data), separators=(",", ":"), allow_nan=False)


def oldest(tx: Transaction, limit: int) -> list[tuple[int, Event]]:
    """Returns the events that wait longest, with their sequence numbers, in the order in which they were stored.

    At least one if any waits; otherwise at most ``limit``, and :data:`BATCH_BYTES` of data.
    """
    last, total = 0, 0
    for seq, size in tx.all("SELECT seq, LENGTH(data) FROM outbox ORDER BY seq LIMIT ?", (limit,)):
        total += size
        if last and total > BATCH_BYTES:
            break
        last = seq
    rows = tx.all(
        "SELECT seq, id, source, type, subject, time, data, tenant, correlation_id, traceparent, actor"
        " FROM outbox WHERE seq <= ? ORDER BY seq",
        (last,),
    )
    return [
        (seq, Event(id, source, type, subject, datetime.fromtimestamp(time, UTC), json.loads(data), *rest))
        for seq, id, source, type, subject, time, data, *rest in rows
    ]


def remove(tx: Transaction, last: int) -> None:
    """Deletes the events up to and including sequence number ``last``."""
    tx.send("DELETE FROM outbox WHERE seq <= ?", (last,))


def backlog(tx: Transaction) -> int:
    """Returns how many events wait; numbers have no gaps, so this is quick however many there are."""
    row = tx.one("SELECT MIN(seq), MAX(seq) FROM outbox")
    assert row is not None
    first, last = row
    return 0 if first is None else int(last - first + 1)
