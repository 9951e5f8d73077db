"""The life of a resource. No other module writes a resource's state; the store checks each move once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sutler.errors import FailedPrecondition

from services.resource.problems import Problem
from services.resource.resource import Finding, Resource
from services.resource.states import ACTS, LEAVES, MOVES, State


def check(name: str, old: State, new: State) -> None:
    """Checks a move; to stay is none.

    Raises:
        FailedPrecondition: If the state cannot move so (STATE_INVALID).
    """
    if new is not old and new not in MOVES[old]:
        allowed = [state for state, moves in MOVES.items() if new in moves]
        raise _refused(name, old, f"become {new.name}", allowed)


def check_leaving(name: str, state: State) -> None:
    """Checks that a resource may be gone.

    Raises:
        FailedPrecondition: If it cannot be from this state (STATE_INVALID).
    """
    if state not in LEAVES:
        raise _refused(name, state, "be gone", sorted(LEAVES))


def begin(resource: Resource, state: State, operation: str) -> Resource:
    """Returns a resource on which an operation begins to work.

    Raises:
        FailedPrecondition: If its state cannot move so (STATE_INVALID).
    """
    check(resource.name, resource.state, state)
    return replace(resource, state=state, operation=operation, state_reason="", error=None)


def succeed(
    resource: Resource, outputs: Mapping[str, Any] | None = None, findings: tuple[Finding, ...] = ()
) -> Resource:
    """Returns a resource that is there as declared.

    Args:
        resource: The resource.
        outputs: What is known of the real thing now; None for what was known before.
        findings: What the handler had to say, beside what policies found.

    Raises:
        FailedPrecondition: If its state cannot move so (STATE_INVALID).
    """
    check(resource.name, resource.state, State.SUCCEEDED)
    return replace(
        resource,
        state=State.SUCCEEDED,
        operation="",
        state_reason="",
        error=None,
        outputs=resource.outputs if outputs is None else outputs,
        observed_generation=resource.generation,
        applied=None,
        findings=(*resource.findings, *findings),
    )


def fail(resource: Resource, problem: Problem) -> Resource:
    """Returns a resource whose operation failed.

    Raises:
        FailedPrecondition: If its state cannot move so (STATE_INVALID).
    """
    return _end(resource, State.FAILED, problem)


def cancel(resource: Resource, problem: Problem) -> Resource:
    """Returns a resource whose operation was cancelled before it had an effect.

    Raises:
        FailedPrecondition: If its state cannot move so (STATE_INVALID).
    """
    return _end(resource, State.CANCELED, problem)


def engage(resource: Resource, operation: str, findings: tuple[Finding, ...] = ()) -> Resource:
    """Returns a resource on which an action begins to work; its state stays. Policies have found what is given.

    Raises:
        FailedPrecondition: If its state allows no action (STATE_INVALID).
    """
    if resource.state not in ACTS:
        raise _refused(resource.name, resource.state, "take an action", sorted(ACTS))
    return replace(resource, operation=operation, findings=findings)


def release(
    resource: Resource, outputs: Mapping[str, Any] | None = None, findings: tuple[Finding, ...] = ()
) -> Resource:
    """Returns a resource on which an action has ended; arguments are those of :func:`succeed`."""
    return replace(
        resource,
        operation="",
        outputs=resource.outputs if outputs is None else outputs,
        findings=(*resource.findings, *findings),
    )


def first_state(resource: Resource) -> State:
    """Returns the state in which a handler works on what is declared: the first time, or after that."""
    return State.UPDATING if resource.observed_generation else State.PROVISIONING


def _end(resource: Resource, state: State, problem: Problem) -> Resource:
    check(resource.name, resource.state, state)
    return replace(resource, state=state, operation="", state_reason=problem.reason, error=problem)


def _refused(name: str, state: State, what: str, allowed: list[State]) -> FailedPrecondition:
    return FailedPrecondition(
        f"{name} is {state.name} and cannot {what}",
        metadata={"state": state.name, "allowed": ", ".join(state.name for state in allowed)},
        resource=name,
    )
