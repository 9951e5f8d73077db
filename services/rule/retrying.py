"""Decides what follows when an attempt did not succeed."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from services.rule.failures import Failure, Kind
from services.rule.policies import RetryPolicy


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
    pause = max(policy.pause(tries) * jitter(0.5, 1.0), failure.retry_after or 0.0)
    if pause >= left:
        return GiveUp(Cause.GAVE_UP, used=used)
    return Again(pause, used)
