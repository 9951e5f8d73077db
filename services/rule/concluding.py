"""What becomes of an execution when a worker completes or fails its task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.rule.breakers import BreakerState
from services.rule.executions import Execution, ExecutionState, Job
from services.rule.failures import Failure
from services.rule.outcomes import Context, Failed, Finished
from services.rule.programs import Program
from services.rule.retrying import Cause, GiveUp, Judged, judge
from services.rule.sight import Sight
from services.rule.steps import MAX_RESPONSE_BYTES, Condition, Step, StepState
from services.rule.subjects import Evaluate
from services.rule.tasks import Task
from services.rule.values import ABSENT, clipped
from services.rule.writes import TaskOutcome


@dataclass(frozen=True, slots=True)
class Completion:
    """What a worker says when it has done a task.

    Attributes:
        digest: Tells a repeat from another completion.
        outcome: What is to be written and emitted.
        result: The answer, for later actions.
        conditions: What the worker's own conditions gave.
        skipped: Says that these were not met, so that nothing was done.
    """

    digest: bytes
    outcome: TaskOutcome = field(default_factory=TaskOutcome)
    result: Any = None
    conditions: tuple[Condition, ...] = ()
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Failing:
    """What a worker says when it could not do a task.

    Attributes:
        failure: What went wrong.
        pause: Seconds before the next try; as the rule says if None.
        permanent: Says that trying again is of no use.
        conditions: What the worker's own conditions gave.
    """

    failure: Failure
    pause: float | None = None
    permanent: bool = False
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A task with its execution, held for the length of a change.

    Attributes:
        task: The task.
        job: The execution, with its event.
        context: What an attempt needs to know.
        now: Epoch seconds.
    """

    task: Task
    job: Job
    context: Context
    now: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """The task is done, and later actions follow; what the worker made commits with them.

    Attributes:
        execution: With what became of it so far.
        evaluate: Gives the values of expressions when the writes are made.
        answer: The answer of the worker.
    """

    execution: Execution
    evaluate: Evaluate
    answer: Any


Ending = Finished | Resumed | Judged


def concluded(held: Held, completion: Completion, program: Program) -> Ending:
    """Returns what becomes of an execution whose task is done.

    Raises:
        FailedPrecondition: If an expression fails, or an increment meets no number.
        Invalid: If a subject would be too large.
    """
    index = _index(held)
    shown = clipped(completion.result, MAX_RESPONSE_BYTES)
    done = replace(
        held.job.execution.steps[index],
        state=StepState.SUCCEEDED,
        end_time=held.now,
        error=None,
        outcome=completion.outcome,
        response=None if shown is ABSENT else shown,
        answered=not completion.skipped,
    )
    execution = _with(held, index, done, completion.conditions)
    if completion.skipped:
        later = [replace(step, state=StepState.SKIPPED) for step in execution.steps[index + 1 :]]
        execution = replace(execution, steps=(*execution.steps[: index + 1], *later))
    sight = Sight(held.job.event, program, held.context)
    for action, step in zip(program.actions, execution.steps, strict=True):
        if step.state is StepState.SUCCEEDED:
            sight.did(action, step)
    if completion.skipped or index + 1 == len(execution.steps):
        state = ExecutionState.SKIPPED if completion.skipped else ExecutionState.SUCCEEDED
        return Finished(execution, state, sight.at_commit(), _was_probe(held))
    return Resumed(execution, sight.at_commit(), completion.result)


def failed(held: Held, failing: Failing, program: Program) -> Judged:
    """Returns what follows for an execution whose task could not be done."""
    index = _index(held)
    step = held.job.execution.steps[index]
    execution = _with(
        held,
        index,
        replace(step, state=StepState.FAILED, error=failing.failure, end_time=held.now),
        failing.conditions,
    )
    attempt = Failed(execution, failing.failure, max(1, step.attempts))
    judged = judge(held.job, attempt, program.definition, held.now, failing.pause)
    if failing.permanent:
        return replace(judged, decision=GiveUp(Cause.NOT_RETRYABLE, used=True))
    return judged


def _index(held: Held) -> int:
    return next(i for i, step in enumerate(held.job.execution.steps) if step.id == held.task.step)


def _with(held: Held, index: int, step: Step, conditions: Sequence[Condition]) -> Execution:
    """Returns an execution with one step replaced, and with what the conditions of its worker gave this time."""
    execution = held.job.execution
    others = tuple(condition for condition in execution.conditions if condition.worker != step.id)
    own = tuple(replace(condition, worker=step.id) for condition in conditions)
    steps = (*execution.steps[:index], step, *execution.steps[index + 1 :])
    return replace(execution, steps=steps, conditions=(*others, *own))


def _was_probe(held: Held) -> bool:
    breaker = held.context.breaker
    return breaker is not None and breaker.state is not BreakerState.CLOSED and breaker.probe == held.job.execution.name
