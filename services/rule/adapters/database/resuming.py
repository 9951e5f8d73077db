"""Lets executions go on after their end, or begins them anew."""

from __future__ import annotations

from dataclasses import replace

from sutler.errors import not_found
from sutler.ids import derive
from sutler.store import Transaction

from services.rule.adapters.database import letters, tasks
from services.rule.adapters.database.accounting import execution_begun_again, execution_ended
from services.rule.adapters.database.inserting import insert_execution
from services.rule.adapters.database.ordering import next_number
from services.rule.definitions import load
from services.rule.events import random_uuid_like
from services.rule.executions import Execution, ExecutionState
from services.rule.letters import letter_name
from services.rule.policies import RetryPolicy
from services.rule.steps import Outcome, StepState, dump_conditions, dump_steps, of_rule


def resume(tx: Transaction, execution: Execution) -> Execution:
    """Lets an execution go on after the last answer in its journal.

    Raises:
        NotFound: If its revision or its event is not stored any more; then nothing has changed.
    """
    definition = tx.one(
        "SELECT definition FROM rule_revisions WHERE rule_uid = ? AND number = ?",
        (execution.rule_uid, execution.revision),
    )
    if definition is None:
        raise not_found(f"{execution.rule}/revisions/{execution.revision}")
    ready = True
    if execution.state is ExecutionState.FAILED:
        ready = not lane_busy(tx, execution)
        if not execution_begun_again(tx, execution.tenant, execution.event, failed=1, added=0):
            raise not_found(execution.event)
        letters.replaying(tx, execution.tenant, letter_name(execution.name), execution.name)
    own = of_rule(execution.conditions)
    held = all(condition.outcome is Outcome.TRUE for condition in own)
    again = replace(
        execution,
        state=ExecutionState.PENDING,
        attempts=0,
        conditions=own if held else (),
        steps=tuple(replace(s, attempts=0, until=None) if s.state is StepState.FAILED else s for s in execution.steps),
        next_attempt_time=None,
        end_time=None,
        update_time=tx.now,
        give_up_time=tx.now + (load(definition[0]).retry or RetryPolicy()).give_up_seconds,
    )
    tx.execute(
        "UPDATE executions SET state = ?, ended = 0, ready = ?, attempts = 0, conditions = ?, steps = ?, due_time = ?, "
        "next_attempt_time = NULL, end_time = NULL, give_up_time = ?, update_time = ?, change = ? WHERE seq = ?",
        (
            *(int(again.state), int(ready), dump_conditions(again.conditions), dump_steps(again.steps)),
            *(tx.now, again.give_up_time, tx.now, next_number(tx), execution.seq),
        ),
    )
    return again


def begin_anew(tx: Transaction, execution: Execution) -> Execution:
    """Begins a new execution of the event with the active revision of the rule.

    Raises:
        NotFound: If the rule is gone or has no active revision, or the event is not stored any more; then nothing has
            changed.
    """
    rule = tx.one("SELECT active FROM rules WHERE uid = ? AND active > 0", (execution.rule_uid,))
    if rule is None:
        raise not_found(execution.rule)
    if not execution_begun_again(tx, execution.tenant, execution.event, failed=0, added=1):
        raise not_found(execution.event)
    if execution.state is not ExecutionState.FAILED:
        tx.execute(
            "UPDATE executions SET state = ?, ended = 1, holder = 0, end_time = ?, next_attempt_time = NULL, "
            "update_time = ?, change = ? WHERE seq = ?",
            (int(ExecutionState.CANCELLED), tx.now, tx.now, next_number(tx), execution.seq),
        )
        tasks.end(tx, replace(execution, state=ExecutionState.CANCELLED))
        execution_ended(tx, execution.tenant, execution.event, ExecutionState.CANCELLED, 0)
    seq = next_number(tx)
    again = Execution(
        "executions/" + random_uuid_like(derive(execution.uuid, f"restart/{seq}")),
        seq,
        execution.tenant,
        execution.event,
        execution.root_event,
        execution.rule,
        execution.rule_uid,
        rule[0],
        execution.subject,
        execution.depth,
        execution.correlation_id,
        tx.now,
        tx.now,
        due_time=tx.now,
        original_execution=execution.name,
    )
    insert_execution(tx, again, ready=not lane_busy(tx, execution))
    letters.replaying(tx, execution.tenant, letter_name(execution.name), again.name)
    return again


def lane_busy(tx: Transaction, execution: Execution) -> bool:
    """Returns whether an execution of the same rule and subject has not ended."""
    if not execution.subject:
        return False
    row = tx.one(
        "SELECT 1 FROM executions WHERE rule_uid = ? AND subject = ? AND ended = 0 LIMIT 1",
        (execution.rule_uid, execution.subject),
    )
    return row is not None
