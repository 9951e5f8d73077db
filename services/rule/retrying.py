"""Decides what follows when an attempt did not succeed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from services.rule.definitions import Definition
from services.rule.executions import Job
from services.rule.failures import Failure, Kind
from services.rule.outcomes import Failed
from services.rule.policies import BreakerPolicy, RetryPolicy


class Cause(IntEnum):
    """Why an execution was given up, by the numbers of the contract."""

    ATTEMPTS_EXHAUSTED = 1
    GAVE_UP = 2
    NOT_RETRYABLE = 3
    CASCADE_TOO_DEEP = 4
    ERROR_EVENT = 5


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt is made.

    Attributes:
        pause: Seconds until then.
        used: Whether this one used up an attempt.
    """

    pause: float
    used: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No other attempt is made.

    Attributes:
        cause: Why.
        used: Whether this one used up an attempt.
    """

    cause: Cause
    used: bool


def decide(
    failure: Failure,
    policy: RetryPolicy,
    *,
    attempts: int,
    tries: int,
    left: float,
    of_error_event: bool,
    pause: float | None = None,
    jitter: Callable[[float, float], float] = random.uniform,
) -> Again | GiveUp:
    """Returns what follows after a failure.

    Args:
        failure: What went wrong.
        policy: The rule's.
        attempts: How many attempts were used up before this one.
        tries: How often the failing action has been tried in a row, this time included.
        left: Seconds until it is given up.
        of_error_event: Whether the event tells of a failed execution: then there is one attempt.
        pause: Seconds before the next try; as the policy says if None.
        jitter: Gives a number between two.
    """
    kind = failure.kind
    if kind is Kind.FINAL:
        too_deep = failure.reason == "CASCADE_TOO_DEEP"
        return GiveUp(Cause.CASCADE_TOO_DEEP if too_deep else Cause.NOT_RETRYABLE, used=True)
    used = kind is Kind.ATTEMPT
    if used and of_error_event:
        return GiveUp(Cause.ERROR_EVENT, used=True)
    if used and attempts + 1 >= policy.attempts:
        return GiveUp(Cause.ATTEMPTS_EXHAUSTED, used=True)
    if pause is None:
        pause = max(policy.pause(tries) * jitter(0.5, 1.0), failure.retry_after or 0.0)
    if pause >= left:
        return GiveUp(Cause.GAVE_UP, used=used)
    return Again(pause, used)


@dataclass(frozen=True, slots=True)
class Judged:
    """A failure with what follows.

    Attributes:
        failed: The failure.
        decision: What follows.
        breaker: When the rule pauses.
    """

    failed: Failed
    decision: Again | GiveUp
    breaker: BreakerPolicy


def judge(job: Job, failed: Failed, definition: Definition | None, now: float, pause: float | None = None) -> Judged:
    """Returns what follows after an attempt at an execution.

    Args:
        job: The execution, with its event.
        failed: How the attempt ended.
        definition: The rule; None if it is not known.
        now: Epoch seconds.
        pause: As in :func:`decide`.
    """
    retry = (definition and definition.retry) or RetryPolicy()
    execution = failed.execution
    decision = decide(
        failed.failure,
        retry,
        attempts=execution.attempts,
        tries=failed.tries,
        left=(execution.give_up_time or now + retry.give_up_seconds) - now,
        of_error_event=job.of_error_event,
        pause=pause,
    )
    return Judged(failed, decision, (definition and definition.breaker) or BreakerPolicy())
