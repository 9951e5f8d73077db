"""Handlers that cannot be asked or say nothing: how that is told from their errors, and what a delete makes of it."""

from __future__ import annotations

from dataclasses import replace

from sutler.errors import Code, SutlerError

from services.resource.attempts import ABANDONED, UNREADABLE
from services.resource.problems import Problem
from services.resource.resource_type import Handler

UNREACHABLE = "HANDLER_UNREACHABLE"
NO_ANSWER = frozenset(("DEPENDENCY_UNAVAILABLE", "DEADLINE_EXCEEDED", "ADDRESS_NOT_ALLOWED", "PLUGIN_UNKNOWN"))
"""The reasons of errors of a call itself that say that the handler could not be asked or said nothing."""

REMEDY = (
    "; if the handler is gone for good, delete the resource with force once this has failed: it goes without its "
    "handler, and whatever that has made is left behind"
)


def no_answer(error: SutlerError) -> bool:
    """Returns whether the error of a call says that the handler could not be asked, or said nothing.

    What a handler itself says, even of something that it cannot reach, has a domain.
    """
    return not error.domain and error.reason in NO_ANSWER


def unreachable(problem: Problem) -> Problem:
    """Returns the error of a delete whose handler did not answer, with what helps."""
    message = f"{problem.message.removesuffix(REMEDY)}{REMEDY}"
    return replace(problem, code=int(Code.UNAVAILABLE), reason=UNREACHABLE, message=message)


def unreachable_till_end(resource: str, last: Problem | None) -> Problem:
    """Returns the error of a resource whose handler did not answer until the time of its delete was over."""
    if last and last.reason == UNREACHABLE and last.metadata.get("resource") == resource:
        return last
    message = f"the handler of {resource} did not answer in time{REMEDY}"
    return Problem(int(Code.UNAVAILABLE), UNREACHABLE, message, {"resource": resource})


def goes_without(resource: str, error: Problem | None) -> bool:
    """Returns whether `force` may remove a resource without its handler, if that cannot be asked once more.

    Args:
        resource: The name of the resource.
        error: Why it is FAILED: that counts if it was a delete, and the resource's own handler that was not reached.
    """
    if error is None or error.metadata.get("resource") != resource:
        return False
    return error.reason in (UNREADABLE, UNREACHABLE) or (
        error.reason == ABANDONED and error.metadata.get("verb") == "delete"
    )


def left_behind(resource: str, handler: Handler, why: Problem) -> str:
    """Returns what is said of a resource that goes without its handler, because that could not be asked."""
    return (
        f"the handler {handler.address or handler.plugin} could not be asked to remove {resource}, so whatever it has "
        f"made is left behind ({why.reason}): {why.message}"
    )
