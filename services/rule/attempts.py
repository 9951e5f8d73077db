"""One attempt at an execution: the breaker, the conditions, then the actions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from sutler.errors import Unavailable
from sutler.expressions import EvaluationFailed

from services.rule import breakers
from services.rule.acting import Acting, Stop, author_of
from services.rule.breakers import Breaker
from services.rule.executions import Execution, ExecutionState, Job
from services.rule.failures import from_error
from services.rule.outcomes import Context, Failed, Finished, Paused, Result
from services.rule.paths import inputs
from services.rule.policies import BreakerPolicy, RetryPolicy
from services.rule.ports import Caller, Journal
from services.rule.programs import Program
from services.rule.sight import Sight, expression_failed
from services.rule.steps import Condition, Outcome, Step, of_rule
from services.rule.variables import CONDITIONS


class Attempts:
    """Makes attempts.

    Args:
        journal: Where they write down what they do.
        caller: Makes outside calls.
        clock: Gives epoch seconds.
    """

    def __init__(self, journal: Journal, caller: Caller, clock: Callable[[], float] = time.time) -> None:
        self._journal = journal
        self._caller = caller
        self._clock = clock

    async def run(self, job: Job, program: Program) -> Result:
        """Makes one attempt and returns how it ends.

        Raises:
            Conflict: If the execution is not ours any more (LEASE_LOST).
            SutlerError: If the store cannot be used.
        """
        now = self._clock()
        context = await self._journal.context(job, with_subject="subject" in program.variables)
        execution = begun(job.execution, program, now)
        if context.cancelled:
            return Finished(execution, ExecutionState.CANCELLED)
        policy = program.definition.breaker or BreakerPolicy()
        until = breakers.deferred_until(context.breaker, policy, execution.name, now)
        probing = until is None and breakers.needs_probe(context.breaker, policy)
        if probing:
            until = await self._journal.take_probe(execution, policy)
        if until is not None:
            error = breaker_open(context.breaker, until - now)
            deferred = replace(execution, deferrals=execution.deferrals + 1, error=from_error(error))
            return Paused(deferred, ExecutionState.DEFERRED, until, max(0.0, until - now))
        result = await self._work(job, program, context, execution, now)
        return replace(result, closes_breaker=probing) if isinstance(result, Finished) else result

    async def _work(self, job: Job, program: Program, context: Context, execution: Execution, now: float) -> Result:
        sight = Sight(job.event, program, context)
        own = of_rule(execution.conditions)
        if not own or any(condition.outcome is not Outcome.TRUE for condition in own):
            execution, result = check(execution, program, sight)
            if result is not None:
                return result
        ends = now + program.definition.timeout_seconds
        author = author_of(context.author)
        acting = Acting(execution, sight, author, ends, context.leases, self._journal, self._caller, self._clock)
        try:
            for index, action in enumerate(program.actions):
                await acting.do(index, action, last=index + 1 == len(program.actions))
        except Stop as stop:
            return stop.result
        return Finished(acting.execution, ExecutionState.SUCCEEDED, sight.at_commit())


def breaker_open(breaker: Breaker | None, seconds: float) -> Unavailable:
    """Returns the error of an execution that waits because its breaker is open.

    Args:
        breaker: The breaker.
        seconds: After how long it is tried.
    """
    name = breaker.name if breaker else ""
    return Unavailable(
        f"{name} is open after too many failures; ResetBreaker closes it at once",
        reason="BREAKER_OPEN",
        metadata={"breaker": name},
        retry_after=timedelta(seconds=max(0.0, seconds)),
    )


def begun(execution: Execution, program: Program, now: float) -> Execution:
    """Returns an execution whose first attempt begins now, or that goes on as it was."""
    steps = execution.steps or tuple(Step(action.id, action.do.kind) for action in program.actions)
    if execution.start_time is not None:
        return replace(execution, steps=steps)
    give_up = now + (program.definition.retry or RetryPolicy()).give_up_seconds
    return replace(execution, steps=steps, start_time=now, give_up_time=give_up)


def check(execution: Execution, program: Program, sight: Sight) -> tuple[Execution, Result | None]:
    """Evaluates the conditions in order up to the first that is not true.

    Returns:
        The execution with what they gave, and how the attempt ends; None if all are true.
    """
    found: list[Condition] = []
    bindings = sight.bind(CONDITIONS)
    for index, condition in enumerate(program.conditions):
        seen = inputs(condition.paths, sight.variables)
        try:
            holds = condition.expression.test(bindings)
        except EvaluationFailed as error:
            failure = from_error(expression_failed(f"when[{index}]", error))
            found.append(Condition(condition.text, Outcome.ERROR, seen, failure))
            break
        found.append(Condition(condition.text, Outcome.TRUE if holds else Outcome.FALSE, seen))
        if not holds:
            break
    outcome = found[-1].outcome if found else Outcome.TRUE
    found += [Condition(c.text, Outcome.NOT_EVALUATED) for c in program.conditions[len(found) :]]
    of_workers = tuple(condition for condition in execution.conditions if condition.worker)
    execution = replace(execution, conditions=(*found, *of_workers))
    if outcome is Outcome.ERROR:
        failure_ = next(c.error for c in found if c.error is not None)
        return execution, Failed(execution, failure_)
    return execution, Finished(execution, ExecutionState.SKIPPED) if outcome is Outcome.FALSE else None
