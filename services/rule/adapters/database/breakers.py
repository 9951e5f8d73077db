"""Breakers in the database."""

from __future__ import annotations

from sutler.store import Transaction

from services.rule.adapters.database.ordering import next_number
from services.rule.adapters.database.rows import BREAKER, breaker_from, breaker_row
from services.rule.breakers import Breaker, after_failure, breaker_name, closed, deferred_until, probing
from services.rule.executions import Execution, ExecutionState
from services.rule.failures import Failure
from services.rule.policies import BreakerPolicy
from services.rule.subjects import subject_name

_SAVE = (
    f"INSERT INTO breakers ({BREAKER}, failure_count, window_end, subject_name) VALUES ({', '.join('?' * 16)})"
    " ON CONFLICT (tenant, name) DO UPDATE SET rule = excluded.rule, update_time = excluded.update_time,"
    " state = excluded.state, failures = excluded.failures, open_time = excluded.open_time,"
    " probe_time = excluded.probe_time, probe = excluded.probe, error = excluded.error,"
    " failure_count = excluded.failure_count, window_end = excluded.window_end"
)


def find(tx: Transaction, tenant: str, name: str) -> Breaker | None:
    """Returns a breaker; None if there is none."""
    row = tx.one(f"SELECT {BREAKER} FROM breakers WHERE tenant = ? AND name = ?", (tenant, name))
    return None if row is None else breaker_from(row)


def of_execution(tx: Transaction, execution: Execution) -> Breaker | None:
    """Returns the breaker of an execution's rule and subject; None if there is none."""
    return find(tx, execution.tenant, breaker_name(execution.tenant, execution.rule_uid, execution.subject))


def save(tx: Transaction, breaker: Breaker, window_end: float | None) -> None:
    """Stores a breaker.

    Args:
        tx: The change.
        breaker: The breaker.
        window_end: When it can be forgotten; None while it is not closed.
    """
    tx.execute(_SAVE, (*breaker_row(breaker), window_end, subject_name(breaker.subject) if breaker.subject else ""))


def count_failure(tx: Transaction, execution: Execution, policy: BreakerPolicy, failure: Failure) -> None:
    """Counts an attempt that was used up."""
    name = breaker_name(execution.tenant, execution.rule_uid, execution.subject)
    breaker = find(tx, execution.tenant, name) or Breaker(
        name, execution.tenant, execution.rule, execution.rule_uid, execution.subject, tx.now, tx.now
    )
    counted = after_failure(breaker, policy, failure, tx.now)
    save(tx, counted, tx.now + policy.window_seconds if counted.probe_time is None else None)


def take_probe(tx: Transaction, execution: Execution, policy: BreakerPolicy) -> float | None:
    """Makes an execution the probe of its breaker; or returns until when it must wait for another one."""
    breaker = of_execution(tx, execution)
    until = deferred_until(breaker, policy, execution.name, tx.now)
    if until is None and breaker is not None:
        save(tx, probing(breaker, policy, execution.name, tx.now), None)
    return until


def reset(tx: Transaction, breaker: Breaker) -> Breaker:
    """Closes a breaker; what it deferred can be claimed at once."""
    fresh = closed(breaker, tx.now)
    save(tx, fresh, tx.now)
    deferred = tx.all(
        "SELECT seq FROM executions WHERE rule_uid = ? AND subject = ? AND ended = 0 AND state = ? ORDER BY seq",
        (breaker.rule_uid, breaker.subject, int(ExecutionState.DEFERRED)),
    )
    tx.many(
        "UPDATE executions SET state = ?, due_time = ?, next_attempt_time = NULL, update_time = ?, change = ? "
        "WHERE seq = ?",
        [(int(ExecutionState.PENDING), tx.now, tx.now, next_number(tx), seq) for (seq,) in deferred],
    )
    return fresh


def deferred_count(tx: Transaction, breaker: Breaker) -> int:
    """Returns how many executions wait for a breaker to close, those behind the deferred one included."""
    row = tx.one(
        "SELECT COUNT(*) FROM executions WHERE rule_uid = ? AND subject = ? AND ended = 0 AND state IN (?, ?)",
        (breaker.rule_uid, breaker.subject, int(ExecutionState.PENDING), int(ExecutionState.DEFERRED)),
    )
    assert row is not None
    return 0 if breaker.probe_time is None else int(row[0])
