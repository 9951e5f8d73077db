"""Stores how attempts end. Each change begins with a check that the execution is still ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sutler.ids import derive
from sutler.store import Transaction

from services.rule.adapters.database import breakers, lanes, letters, tasks
from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.accounting import execution_ended
from services.rule.adapters.database.effects import cause_of, take_effect
from services.rule.adapters.database.ordering import next_number
from services.rule.adapters.database.rows import EXECUTION, execution_from, progress
from services.rule.events import Cause, Content
from services.rule.executions import Execution, ExecutionState, Job
from services.rule.letters import letter_name
from services.rule.outcomes import Aftermath, Claim, Failed, Finished, Paused
from services.rule.policies import BreakerPolicy
from services.rule.retrying import GiveUp
from services.rule.steps import dump_failure
from services.rule.tasks import Task
from services.rule.tellings import of_failure


class Settler:
    """Ends, pauses and gives up executions.

    Args:
        acceptor: Accepts the events that they emit.
    """

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor

    def finish(self, tx: Transaction, job: Job, result: Finished, claim: Claim) -> Aftermath:
        """Ends an execution with all that it writes and emits."""
        lanes.check_held(tx, job.execution)
        execution, contents = take_effect(tx, job, result)
        _end(tx, execution)
        if result.closes_breaker:
            breaker = breakers.of_execution(tx, execution)
            if breaker is not None:
                breakers.reset(tx, breaker)
        if result.state is ExecutionState.SUCCEEDED and any(step.answered for step in execution.steps):
            tx.execute("DELETE FROM answers WHERE execution = ?", (execution.seq,))
        letters.replayed(tx, execution, well=result.state is not ExecutionState.CANCELLED)
        return self._after(tx, job, execution, contents, claim)

    def pause(self, tx: Transaction, job: Job, result: Paused) -> None:
        """Gives an execution back until later."""
        execution = result.execution
        if execution.give_up_time is not None:
            execution = replace(execution, give_up_time=execution.give_up_time + result.excused)
        execution = replace(execution, state=result.state)
        if result.opening is not None:
            tasks.open_task(tx, execution, result.opening)
        _give_back(tx, job, execution, min(result.until, tasks.lease_end(tx, execution) or result.until))

    def retry(
        self, tx: Transaction, job: Job, result: Failed, pause: float, policy: BreakerPolicy, *, used: bool
    ) -> None:
        """Gives an execution back for another attempt."""
        before = result.execution
        execution = replace(
            before,
            state=ExecutionState.WAITING,
            error=result.failure,
            attempts=before.attempts + used,
            deferrals=before.deferrals + (not used),
        )
        _give_back(tx, job, execution, tx.now + pause)
        tasks.back_off(tx, execution, result.failure, tx.now + pause)
        if used:
            breakers.count_failure(tx, execution, policy, result.failure)

    def give_up(
        self, tx: Transaction, job: Job, result: Failed, why: GiveUp, policy: BreakerPolicy, claim: Claim
    ) -> Aftermath:
        """Ends an execution as failed, makes its dead letter, and tells of it unless it handled such a telling."""
        lanes.check_held(tx, job.execution)
        execution = replace(
            result.execution,
            state=ExecutionState.FAILED,
            error=result.failure,
            attempts=result.execution.attempts + why.used,
            dead_letter=letter_name(result.execution.name),
        )
        _end(tx, execution)
        letters.write(tx, execution, why.cause, result.failure)
        letters.replayed(tx, execution, well=False)
        if why.used:
            breakers.count_failure(tx, execution, policy, result.failure)
        told: list[Content] = []
        if not job.of_error_event and execution.depth < self._acceptor.max_depth:
            id_ = derive(execution.uuid, f"failed/{tx.now}")
            told.append(of_failure(job.event, execution, result.failure, execution.dead_letter, id_, tx.now))
        return self._after(tx, job, execution, told, claim)

    def _after(
        self, tx: Transaction, job: Job, execution: Execution, contents: Sequence[Content], claim: Claim
    ) -> Aftermath:
        """Accepts what an ended execution emits, keeps account, and lets the next of rule and subject begin."""
        promoted = lanes.promote(tx, execution, claim.holder)
        aftermath, open_ = Aftermath(), 0
        if contents:
            cause = cause_of(tx, job, execution)
            room = max(0, claim.room + 1 - len(promoted))  # the place of the one that has ended is free
            accepted = self._acceptor.accept(tx, execution.tenant, contents, cause, Claim(claim.holder, room))
            aftermath, open_ = accepted.aftermath, accepted.open
        ended = execution_ended(tx, execution.tenant, execution.event, execution.state, open_)
        return replace(aftermath, jobs=(*promoted, *aftermath.jobs), ended=tuple(ended))


def task_cause(tx: Transaction, task: Task, principal: str) -> Cause:
    """Returns where events come from that a worker causes in the course of a task, before its end."""
    row = tx.one(f"SELECT {EXECUTION} FROM executions WHERE seq = ?", (task.execution_seq,))
    assert row is not None
    execution = execution_from(row)
    depth = execution.depth + 1
    return Cause(principal, execution.correlation_id, execution.name, execution.event, execution.root_event, depth)


def _end(tx: Transaction, execution: Execution) -> None:
    tx.send(
        "UPDATE executions SET state = ?, ended = 1, holder = 0, conditions = ?, steps = ?, start_time = ?, "
        "give_up_time = ?, attempts = ?, deferrals = ?, error = ?, end_time = ?, update_time = ?, "
        "next_attempt_time = NULL, dead_letter = ?, change = ? WHERE seq = ?",
        (
            *(int(execution.state), *progress(execution), execution.attempts, execution.deferrals),
            *(dump_failure(execution.error), tx.now, tx.now, execution.dead_letter, next_number(tx), execution.seq),
        ),
    )
    tasks.end(tx, execution)


def _give_back(tx: Transaction, job: Job, execution: Execution, until: float) -> None:
    lanes.check_held(tx, job.execution)
    tx.execute(
        "UPDATE executions SET state = ?, holder = 0, conditions = ?, steps = ?, start_time = ?, give_up_time = ?, "
        "attempts = ?, deferrals = ?, error = ?, due_time = ?, next_attempt_time = ?, update_time = ?, change = ? "
        "WHERE seq = ?",
        (
            *(int(execution.state), *progress(execution), execution.attempts, execution.deferrals),
            *(dump_failure(execution.error), until, until, tx.now, next_number(tx), execution.seq),
        ),
    )
