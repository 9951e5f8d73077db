"""Who works on which execution: claims, turns within a rule and subject, and what dead processes held."""

from __future__ import annotations

from collections.abc import Sequence

from sutler.store import Transaction, leases
from sutler.store.leases import lost
from sutler.store.sequences import draw

from services.rule.adapters.database.rows import EVENT_FULL, EXECUTION, columns, event_from, execution_from
from services.rule.executions import Execution, Job

HOLDERS = "rule/engine/"
"""What the names of the leases of working processes begin with."""

_WIDTH = len(EXECUTION.split(", "))
_JOBS = (
    f"SELECT {columns(EXECUTION, 'x')}, {columns(EVENT_FULL, 'v')} FROM executions AS x "
    "JOIN events AS v ON v.tenant = x.tenant AND v.name = x.event"
)


def next_time(tx: Transaction) -> float | None:
    """Returns when there is something to claim or deliver; None if nothing waits."""
    due = tx.one("SELECT MIN(due_time) FROM executions WHERE ended = 0 AND ready = 1 AND holder = 0")
    later = tx.one("SELECT MIN(deliver_time) FROM events WHERE state = 1")
    times = [row[0] for row in (due, later) if row is not None and row[0] is not None]
    return min(times) if times else None


def claim(tx: Transaction, holder: int, limit: int) -> list[Job]:
    """Takes executions that are due, in order, and that nobody holds."""
    rows = tx.all(
        "SELECT seq FROM executions WHERE ended = 0 AND ready = 1 AND holder = 0 AND due_time <= ? "
        "ORDER BY due_time, seq LIMIT ?",
        (tx.now, limit),
    )
    return _take(tx, [row[0] for row in rows], holder)


def take(tx: Transaction, holder: int, events: Sequence[str], limit: int) -> list[Job]:
    """Takes executions of events that nobody has begun or holds, also those that are still to be handed out."""
    marks = ", ".join("?" * len(events))
    rows = tx.all(
        "SELECT seq FROM executions WHERE ended = 0 AND ready = 1 AND holder = 0 AND state = 1 "
        f"AND event IN ({marks}) ORDER BY seq LIMIT ?",
        (*events, limit),
    )
    seqs = [row[0] for row in rows]
    tx.many("UPDATE executions SET due_time = ? WHERE seq = ?", [(tx.now, seq) for seq in seqs])
    return _take(tx, seqs, holder)


def promote(tx: Transaction, execution: Execution, holder: int) -> list[Job]:
    """Lets the next execution of a rule and subject begin, after one has ended; takes it if it is new.

    Args:
        tx: The change.
        execution: The one that has ended.
        holder: Who takes the next; 0 if nobody does.
    """
    if not execution.subject:
        return []
    row = tx.one(
        "SELECT seq, ready FROM executions WHERE rule_uid = ? AND subject = ? AND ended = 0 ORDER BY seq LIMIT 1",
        (execution.rule_uid, execution.subject),
    )
    if row is None or row[1]:
        return []
    tx.execute(
        "UPDATE executions SET ready = 1, due_time = CASE WHEN due_time > ? THEN ? ELSE due_time END WHERE seq = ?",
        (tx.now, tx.now, row[0]),
    )
    return _take(tx, [row[0]], holder) if holder else []


def check_held(tx: Transaction, execution: Execution) -> None:
    """Makes sure that whoever works on an execution still may.

    Raises:
        Conflict: If not (LEASE_LOST).
    """
    row = tx.one(
        "SELECT 1 FROM executions WHERE seq = ? AND holder = ? AND ended = 0", (execution.seq, execution.holder)
    )
    if row is None or not execution.holder:
        raise lost(execution.name)


def seize(tx: Transaction, seq: int) -> Execution:
    """Takes an execution from whoever works on it, for the length of this change; nobody else may settle it then."""
    tx.execute("UPDATE executions SET holder = ? WHERE seq = ?", (draw(tx, leases.SEQUENCE), seq))
    row = tx.one(f"SELECT {EXECUTION} FROM executions WHERE seq = ?", (seq,))
    assert row is not None
    return execution_from(row)


def release(tx: Transaction, holder: int) -> int:
    """Gives back all that a process holds."""
    return tx.execute("UPDATE executions SET holder = 0 WHERE holder = ? AND holder <> 0", (holder,)) if holder else 0


def adopt(tx: Transaction) -> int:
    """Frees what processes hold whose leases have run out, and returns how much."""
    return tx.execute(
        "UPDATE executions SET holder = 0 WHERE holder <> 0 AND holder NOT IN "
        "(SELECT fence FROM leases WHERE name >= ? AND name < ? AND expire_time > ?)",
        (HOLDERS, HOLDERS[:-1] + "0", tx.now),
    )


def orphaned(tx: Transaction) -> bool:
    """Returns whether :func:`adopt` would free something."""
    row = tx.one(
        "SELECT 1 FROM executions WHERE holder <> 0 AND holder NOT IN "
        "(SELECT fence FROM leases WHERE name >= ? AND name < ? AND expire_time > ?) LIMIT 1",
        (HOLDERS, HOLDERS[:-1] + "0", tx.now),
    )
    return row is not None


def _take(tx: Transaction, seqs: Sequence[int], holder: int) -> list[Job]:
    if not seqs:
        return []
    marks = ", ".join("?" * len(seqs))
    tx.execute(f"UPDATE executions SET holder = ? WHERE seq IN ({marks})", (holder, *seqs))
    rows = tx.all(f"{_JOBS} WHERE x.seq IN ({marks}) ORDER BY x.due_time, x.seq", seqs)
    return [Job(execution_from(row[:_WIDTH]), event_from(row[_WIDTH:])) for row in rows]
