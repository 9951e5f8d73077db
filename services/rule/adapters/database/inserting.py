"""Stores new executions, and decides which of them may begin at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sutler.store import Transaction

from services.rule.events import Event
from services.rule.executions import Execution, ExecutionState, Job, execution_name
from services.rule.matching import Entry
from services.rule.outcomes import Aftermath, Claim
from services.rule.subjects import subject_name

CHUNK = 200

_INSERT_EXECUTION = (
    "INSERT INTO executions (seq, tenant, name, event, root_event, rule, rule_uid, revision, rule_revision, subject, "
    "depth, correlation_id, create_time, update_time, state, ended, ready, holder, attempts, deferrals, conditions, "
    "steps, error, due_time, dead_letter, original_execution, subject_name, change) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 0, ?, ?, 0, 0, '', '', '', ?, '', ?, ?, ?)"
)


def insert_executions(
    tx: Transaction, pairs: Sequence[tuple[Event, Entry]], first: int, claim: Claim, hand_out_seconds: float = 0.0
) -> Aftermath:
    """Stores the executions of events, and takes as many of those that may begin as the claim allows.

    Args:
        tx: The change.
        pairs: Each event with each rule that it fires, in order.
        first: The sequence number of the first execution.
        claim: What this process takes.
        hand_out_seconds: For how long the others are left to those who are handed them.
    """
    busy = busy_lanes(tx, {(entry.uid, event.content.subject) for event, entry in pairs if event.content.subject})
    rows: list[tuple[Any, ...]] = []
    jobs: list[Job] = []
    for seq, (event, entry) in enumerate(pairs, first):
        lane = (entry.uid, event.content.subject)
        ready = lane not in busy
        if event.content.subject:
            busy.add(lane)
        holder = claim.holder if ready and len(jobs) < claim.room else 0
        execution = new_execution(event, entry, seq, tx.now, holder)
        if hand_out_seconds and not holder:
            execution = replace(execution, due_time=tx.now + hand_out_seconds)
        rows.append(execution_row(execution, ready=ready))
        if holder:
            jobs.append(Job(execution, event))
    if rows:
        tx.many(_INSERT_EXECUTION, rows)
    return Aftermath(tuple(jobs), begun=len(rows))


def new_execution(event: Event, entry: Entry, seq: int, now: float, holder: int = 0) -> Execution:
    """Returns the execution that an event begins of a rule, held by a process or by none."""
    return Execution(
        execution_name(event.name, entry.uid),
        seq,
        event.tenant,
        event.name,
        event.cause.root,
        entry.rule,
        entry.uid,
        entry.revision,
        event.content.subject,
        event.cause.depth,
        event.cause.correlation_id,
        now,
        now,
        holder=holder,
        due_time=now,
    )


def insert_execution(tx: Transaction, execution: Execution, *, ready: bool) -> None:
    """Stores one new execution."""
    tx.execute(_INSERT_EXECUTION, execution_row(execution, ready=ready))


def execution_row(execution: Execution, *, ready: bool) -> tuple[Any, ...]:
    """Returns the row of a new execution."""
    assert execution.state is ExecutionState.PENDING
    return (
        *(execution.seq, execution.tenant, execution.name, execution.event, execution.root_event),
        *(execution.rule, execution.rule_uid, execution.revision, f"{execution.rule}/revisions/{execution.revision}"),
        *(execution.subject, execution.depth, execution.correlation_id, execution.create_time, execution.update_time),
        *(int(ready), execution.holder, execution.due_time, execution.original_execution),
        *(subject_name(execution.subject) if execution.subject else "", execution.seq),
    )


def chunks(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Yields items in pieces that one statement can take."""
    return (items[i : i + CHUNK] for i in range(0, len(items), CHUNK))


def busy_lanes(tx: Transaction, lanes: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Returns those pairs of rule and subject that have an execution which has not ended."""
    found: set[tuple[str, str]] = set()
    for chunk in chunks(sorted(lanes)):
        pairs = ", ".join(["(?, ?)"] * len(chunk))
        found.update(
            tx.all(
                f"SELECT lane.column1, lane.column2 FROM (VALUES {pairs}) AS lane WHERE EXISTS "
                "(SELECT 1 FROM executions AS e"
                " WHERE e.rule_uid = lane.column1 AND e.subject = lane.column2 AND e.ended = 0)",
                [value for lane in chunk for value in lane],
            )
        )
    return found
