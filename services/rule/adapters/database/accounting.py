"""Keeps account of what is open in each cascade, so that its end is known at once.

An event counts its open executions, and those of the events which these emitted whose own cascades go on. When both
are 0 its cascade has ended, and the event above counts one less.
"""

from __future__ import annotations

from sutler.store import Transaction

from services.rule.adapters.database.ordering import next_number
from services.rule.events import EventState
from services.rule.executions import ExecutionState


def execution_ended(tx: Transaction, tenant: str, event: str, state: ExecutionState, children: int) -> list[str]:
    """Counts the end of an execution.

    Args:
        tx: The change.
        tenant: Whose it is.
        event: The name of the event that it handled.
        state: How it ended.
        children: How many of the events that it emitted have cascades that go on.

    Returns:
        The names of the events from outside whose cascades have ended by this.
    """
    failed = int(state is ExecutionState.FAILED)
    bad = int(state in (ExecutionState.FAILED, ExecutionState.CANCELLED))
    row = tx.one(
        "UPDATE events SET open_executions = open_executions - 1, open_children = open_children + ?, "
        "failure_count = failure_count + ?, bad_count = bad_count + ?, update_time = ?, "
        "state = CASE WHEN open_executions > 1 THEN state WHEN bad_count + ? > 0 THEN ? ELSE ? END, "
        "end_time = CASE WHEN open_executions > 1 THEN end_time ELSE ? END, "
        "end_change = CASE WHEN open_executions > 1 THEN end_change ELSE ? END "
        "WHERE tenant = ? AND name = ? RETURNING open_executions, open_children",
        (
            *(children, failed, bad, tx.now, bad, int(EventState.FAILED), int(EventState.SUCCEEDED), tx.now),
            *(next_number(tx), tenant, event),
        ),
    )
    return cascade_ended(tx, tenant, event) if row == (0, 0) else []


def cascade_ended(tx: Transaction, tenant: str, event: str) -> list[str]:
    """Notes that the cascade of an event has ended, and of those above for which it was the last one open.

    Returns:
        As :func:`execution_ended`.
    """
    while True:
        row = tx.one(
            "UPDATE events SET cascade_end_time = ?, update_time = ?,"
            " cascade_change = CASE WHEN depth = 0 THEN ? ELSE NULL END WHERE tenant = ? AND name = ?"
            " RETURNING parent_event",
            (tx.now, tx.now, next_number(tx), tenant, event),
        )
        if row is None:
            return []
        if not row[0]:
            return [event]
        event = row[0]
        above = tx.one(
            "UPDATE events SET open_children = open_children - 1 WHERE tenant = ? AND name = ?"
            " RETURNING open_executions, open_children",
            (tenant, event),
        )
        if above != (0, 0):
            return []


def execution_begun_again(tx: Transaction, tenant: str, event: str, *, failed: int, added: int) -> bool:
    """Counts an execution that goes on after its end, or one more that was made.

    Args:
        tx: The change.
        tenant: Whose it is.
        event: The name of its event.
        failed: How many failures of the event do not count any more.
        added: How many executions of the event there are more.

    Returns:
        Whether the event is stored.
    """
    row = tx.one(
        "SELECT open_executions, open_children, parent_event FROM events WHERE tenant = ? AND name = ?", (tenant, event)
    )
    if row is None:
        return False
    tx.execute(
        "UPDATE events SET open_executions = open_executions + 1, execution_count = execution_count + ?, "
        "failure_count = failure_count - ?, bad_count = bad_count - ?, state = ?, end_time = NULL, end_change = NULL, "
        "update_time = ? WHERE tenant = ? AND name = ?",
        (added, failed, failed, int(EventState.ACTIVE), tx.now, tenant, event),
    )
    while row is not None and row[:2] == (0, 0):
        tx.execute(
            "UPDATE events SET cascade_end_time = NULL, cascade_change = NULL WHERE tenant = ? AND name = ?",
            (tenant, event),
        )
        event = row[2]
        row = tx.one(
            "SELECT open_executions, open_children, parent_event FROM events WHERE tenant = ? AND name = ?",
            (tenant, event),
        )
        tx.execute("UPDATE events SET open_children = open_children + 1 WHERE tenant = ? AND name = ?", (tenant, event))
    return True


def children_begun(tx: Transaction, tenant: str, event: str, count: int) -> None:
    """Counts events whose cascades go on, which an execution of an event caused before its own end."""
    if count:
        tx.execute(
            "UPDATE events SET open_children = open_children + ?, update_time = ? WHERE tenant = ? AND name = ?",
            (count, tx.now, tenant, event),
        )
