"""What an operation that a run began has led to, once it has ended."""

from __future__ import annotations

from dataclasses import replace

from sutler.errors import Code
from sutler.operations.model import State as OperationState

from services.resource.ports import View
from services.resource.problems import Problem
from services.resource.stacks.failures import CANCELLED, short
from services.resource.stacks.stack import Became, MemberState
from services.resource.states import State


def settled(view: View, state: MemberState, *, removes: bool, undoes: bool) -> MemberState:
    """Returns the state of a member that is RUNNING, with what its operation has led to if it has ended.

    Args:
        view: The store at this moment.
        state: What the stack knows of the member.
        removes: Whether the operation is to remove the resource.
        undoes: Whether that is because the run is undone.
    """
    operation = view.operation(state.operation)
    if operation is not None and not operation.state.ended:
        return state
    if operation is None:  # it ended so long ago that it is forgotten
        resource = view.resource(state.resource)
        there = resource is not None and resource.uid == state.uid
        succeeded = not there if removes else resource is not None and resource.state is State.SUCCEEDED
        error = resource.error if resource is not None and not succeeded else None
    else:
        succeeded, error = operation.state is OperationState.SUCCEEDED, view.error_of(operation)
    if succeeded:
        return gone(state, undoes=undoes) if removes else replace(state, became=Became.SUCCEEDED, error=None)
    return failed(state, error or _unknown(state), undoes=undoes)


def gone(state: MemberState, *, undoes: bool) -> MemberState:
    """Returns the state of a member whose resource is gone."""
    became = Became.DELETED
    if undoes:
        own = state.error is not None and state.error.reason != CANCELLED
        became = Became.FAILED if own else Became.UNDONE
    return replace(state, became=became, uid="", error=state.error if undoes else None)


def failed(state: MemberState, why: Problem, *, undoes: bool) -> MemberState:
    """Returns the state of a member of which nothing came, or that could not be removed."""
    return replace(state, became=Became.FAILED, error=short(why), stuck=undoes)


def _unknown(state: MemberState) -> Problem:
    return Problem(
        int(Code.ABORTED), "STATE_INVALID", f"{state.resource} is not as declared", {"resource": state.resource}
    )
