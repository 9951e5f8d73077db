"""The errors of stacks."""

from __future__ import annotations

from dataclasses import replace

from sutler.errors import Code, FailedPrecondition

from services.resource.problems import Problem

MAX_MESSAGE = 400
"""How much of a member's message is kept in its state."""

MAX_METADATA = 10
CANCELLED = "CANCELLED"


def conflict(resource: str, stack: str) -> FailedPrecondition:
    """Returns the error for a resource that belongs to another stack."""
    return FailedPrecondition(
        f"{resource} belongs to {stack}; remove it there first",
        reason="STACK_CONFLICT",
        metadata={"stack": stack},
        resource=resource,
    )


def has_strangers(member: str, resource: str, below: str) -> FailedPrecondition:
    """Returns the error for a member that cannot be removed because of what stands below it and stays."""
    return FailedPrecondition(
        f"{below} stands below {resource} (member {member}), and would be left behind or lost; delete or move it first",
        reason="HAS_CHILDREN",
        metadata={"child": below, "member": member},
        resource=resource,
    )


def member_failed(stack: str, member: str, cause: Problem) -> Problem:
    """Returns why a run failed: because of a member."""
    return Problem(
        cause.code,
        "STACK_MEMBER_FAILED",
        f"the member {member} of {stack} failed: {cause.message}",
        {**cause.metadata, "stack": stack, "member": member, "cause": cause.reason},
        retry_after=cause.retry_after,
    )


def cancelled(stack: str) -> Problem:
    """Returns why a run ended: because it was cancelled."""
    return Problem(int(Code.CANCELLED), CANCELLED, f"the run of {stack} was cancelled", {"stack": stack})


def with_effects(why: Problem, *, undone: int, changed: int) -> Problem:
    """Returns why a run ended, with what it took back of its effects and what it left changed."""
    told = f"; {undone} undone" if undone else ""
    told += f"; {changed} stay as they were changed" if changed else ""
    metadata = {**why.metadata, "undone": str(undone), "changed": str(changed)}
    return replace(why, message=why.message + told, metadata=metadata)


def undo_incomplete(stack: str, why: Problem, left: int) -> Problem:
    """Returns why a run ended: it failed, and what it created could not all be removed again."""
    return Problem(
        int(Code.ABORTED),
        "UNDO_INCOMPLETE",
        f"{why.message}; {left} resources that the run created could not be removed: see the states of the members",
        {**why.metadata, "stack": stack, "left": str(left)},
    )


def short(problem: Problem) -> Problem:
    """Returns an error as the state of a member keeps it: there may be many, and they share one message."""
    message = problem.message
    return replace(
        problem,
        message=message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…",
        metadata={name: value[:200] for name, value in list(problem.metadata.items())[:MAX_METADATA]},
        violations=problem.violations[:3],
    )
