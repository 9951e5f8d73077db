"""What follows from how an attempt of a handler ended: another one after a pause, or the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from sutler.errors import Code

from services.resource.problems import DOMAIN, Problem
from services.resource.resource_type import Handler
from services.resource.work import MAX_BACKOFF_SECONDS, MIN_BACKOFF_SECONDS

TRANSIENT = frozenset(
    int(code) for code in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED)
)
"""Codes of errors that may go away; others are final unless the handler says when to try again."""

MAX_DOUBLINGS = 30
MISBEHAVED = "HANDLER_MISBEHAVED"
UNREADABLE = "SECRET_UNREADABLE"
ABANDONED = "ABANDONED"


@dataclass(frozen=True, slots=True)
class Again:
    """Another attempt is made.

    Attributes:
        delay: Seconds until then.
        problem: Why.
        unreachable: Whether the handler could not be asked, or said nothing.
    """

    delay: float
    problem: Problem
    unreachable: bool = False


@dataclass(frozen=True, slots=True)
class Over:
    """No attempt is made any more.

    Attributes:
        problem: The error that the operation ends with.
        unreachable: Whether the handler could not be asked, or said nothing.
    """

    problem: Problem
    unreachable: bool = False


def judge(
    problem: Problem,
    *,
    resource: str,
    attempt: int,
    handler: Handler,
    left: float,
    unreachable: bool = False,
    jitter: Callable[[float, float], float] = random.uniform,
) -> Again | Over:
    """Says what follows from a handler's error.

    Args:
        problem: The error.
        resource: The name of the resource.
        attempt: Which attempt it was, from 1.
        handler: How patient to be.
        left: Seconds until the operation must have ended.
        unreachable: Whether the handler could not be asked, or said nothing.
        jitter: Returns a number between two; for tests.
    """
    shown = handler_failed(problem, resource, attempt)
    if left <= 0:
        return Over(timed_out(resource, handler, shown), unreachable)
    if problem.code not in TRANSIENT and problem.retry_after is None:
        return Over(shown, unreachable)
    if handler.max_attempts and attempt >= handler.max_attempts:
        return Over(shown, unreachable)
    return Again(min(pause(problem, attempt, handler, jitter), left), shown, unreachable)


def pause(problem: Problem, attempt: int, handler: Handler, jitter: Callable[[float, float], float]) -> float:
    """Returns the seconds before the next attempt: doubling, with jitter, and at least what the handler asks for."""
    first = handler.min_backoff or MIN_BACKOFF_SECONDS
    longest = max(first, handler.max_backoff or MAX_BACKOFF_SECONDS)
    backoff: float = min(longest, first * 2.0 ** min(attempt - 1, MAX_DOUBLINGS))
    return max(backoff * jitter(0.5, 1.0), problem.retry_after or 0.0)


def handler_failed(problem: Problem, resource: str, attempt: int) -> Problem:
    """Returns a handler's error as callers see it: its own code, and who it was."""
    if problem.reason == MISBEHAVED and problem.domain == DOMAIN:
        return problem
    return replace(
        problem,
        reason="HANDLER_FAILED",
        message=f"the handler of {resource} failed: {problem.message}",
        metadata={
            **problem.metadata,
            "resource": resource,
            "attempt": str(attempt),
            "handler_reason": problem.reason,
            "handler_domain": problem.domain,
        },
        domain=DOMAIN,
    )


def misbehaved(resource: str, cause: str) -> Problem:
    """Returns the error of a handler that broke its contract."""
    return Problem(
        int(Code.INTERNAL),
        MISBEHAVED,
        f"the handler of {resource} broke its contract: {cause}",
        {"resource": resource, "cause": cause},
    )


def timed_out(resource: str, handler: Handler, last: Problem | None) -> Problem:
    """Returns the error of an operation whose time is over."""
    why = f"; the last attempt said: {last.message}" if last else ""
    return Problem(
        int(Code.DEADLINE_EXCEEDED),
        "DEADLINE_EXCEEDED",
        f"the handler of {resource} was not done in time{why}",
        {**(last.metadata if last else {}), "resource": resource},
    )


def cancelled(resource: str) -> Problem:
    """Returns the error of an operation that was cancelled before it had an effect."""
    return Problem(int(Code.CANCELLED), "CANCELLED", f"the work on {resource} was cancelled", {"resource": resource})


def half_done(resource: str, found: str) -> Problem:
    """Returns the error of an operation that was cancelled when half was done."""
    return Problem(
        int(Code.ABORTED),
        "CANCEL_INCOMPLETE",
        f"the work on {resource} was cancelled when it was done by half ({found}); update or delete the resource",
        {"resource": resource, "found": found},
    )


def unreadable(resource: str) -> Problem:
    """Returns the error for secrets that no configured key opens."""
    return Problem(
        int(Code.FAILED_PRECONDITION),
        UNREADABLE,
        f"the secrets of {resource} cannot be decrypted with the configured keys; add the key that sealed them to "
        "SUTLER_RESOURCE_SECRET_KEYS",
        {"resource": resource},
    )


def abandoned(operation: str, principal: str, verb: str) -> Problem:
    """Returns the error of an operation that was given up; the verb is what it did."""
    return Problem(
        int(Code.ABORTED),
        ABANDONED,
        f"{principal} gave up {operation}; what the handler did is not known",
        {"operation": operation, "principal": principal, "verb": verb},
    )
