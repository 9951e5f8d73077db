"""Cancels the executions of a rule that was deleted by force."""

from __future__ import annotations

from dataclasses import replace

from sutler.store import Transaction

from services.rule.adapters.database import letters, tasks
from services.rule.adapters.database.accounting import execution_ended
from services.rule.adapters.database.ordering import next_number
from services.rule.adapters.database.rows import EXECUTION, execution_from
from services.rule.executions import ExecutionState

CHUNK = 200


def cancelling(tx: Transaction, rule_uid: str) -> bool:
    """Returns whether executions of a rule are still to be cancelled."""
    return tx.one("SELECT 1 FROM executions WHERE rule_uid = ? AND ended = 0 LIMIT 1", (rule_uid,)) is not None


def cancel_some(tx: Transaction, rule_uid: str) -> None:
    """Ends up to 200 executions of a rule; whoever works on one of them loses it."""
    rows = tx.all(
        f"SELECT {EXECUTION} FROM executions WHERE rule_uid = ? AND ended = 0 ORDER BY subject, seq LIMIT ?",
        (rule_uid, CHUNK),
    )
    for execution in map(execution_from, rows):
        tx.execute(
            "UPDATE executions SET state = ?, ended = 1, holder = 0, end_time = ?, update_time = ?, "
            "next_attempt_time = NULL, change = ? WHERE seq = ?",
            (int(ExecutionState.CANCELLED), tx.now, tx.now, next_number(tx), execution.seq),
        )
        tasks.end(tx, replace(execution, state=ExecutionState.CANCELLED))
        letters.replayed(tx, execution, well=False)
        execution_ended(tx, execution.tenant, execution.event, ExecutionState.CANCELLED, 0)
