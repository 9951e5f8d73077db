"""Gives events to the rules whose time to be delivered has come."""

from __future__ import annotations

from sutler.store import Transaction

from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.accounting import cascade_ended
from services.rule.adapters.database.ordering import next_number
from services.rule.adapters.database.rows import EVENT_FULL, event_from
from services.rule.events import EventState
from services.rule.outcomes import Aftermath, Claim

BATCH = 100


def deliver(tx: Transaction, acceptor: Acceptor, claim: Claim) -> tuple[Aftermath, int]:
    """Makes the executions of up to 100 events that are due, with the rules of now.

    Returns:
        What follows, and how many events it were.
    """
    rows = tx.all(
        f"SELECT {EVENT_FULL} FROM events WHERE state = ? AND deliver_time <= ? ORDER BY deliver_time, seq LIMIT ?",
        (int(EventState.SCHEDULED), tx.now, BATCH),
    )
    events, aftermath = acceptor.begin(tx, [event_from(row) for row in rows], claim)
    tx.many(
        "UPDATE events SET state = ?, execution_count = ?, open_executions = ?, end_time = ?, end_change = ?, "
        "update_time = ? WHERE seq = ?",
        [
            (
                *(int(event.state), event.execution_count, event.execution_count, event.end_time),
                *(next_number(tx) if event.state.ended else None, tx.now, event.seq),
            )
            for event in events
        ],
    )
    ended: list[str] = []
    for event in events:
        if event.state.ended:
            ended += cascade_ended(tx, event.tenant, event.name)
    return Aftermath(aftermath.jobs, tuple(ended), aftermath.begun), len(events)
