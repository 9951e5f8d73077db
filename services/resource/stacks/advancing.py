"""Decides how a run goes on: what has ended, what can be begun, and whether it rests, is undone, or ends.

All of it is one change of the store, which sees every operation that the run began. The end of such an operation makes
the run due in the same change, so no end is overlooked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sutler.errors import Conflict, SutlerError
from sutler.operations.model import Operation
from sutler.operations.model import State as OperationState

from services.resource.attempting import Attempt
from services.resource.ports import Unit
from services.resource.problems import Problem, problem
from services.resource.stacks import lifecycle, turns
from services.resource.stacks.ending import end_failed, end_removed, end_succeeded
from services.resource.stacks.failures import cancelled, member_failed
from services.resource.stacks.outputs import outputs
from services.resource.stacks.settling import settled
from services.resource.stacks.stack import Became, MemberState, Stack, StackState

BACKSTOP_SECONDS = 30.0
"""After how long a run that waits looks again, though nobody has woken it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A run at one moment.

    Attributes:
        stack: The stack.
        phase: ``apply``, ``remove`` or ``undo``: what is done now; empty if nothing can be begun.
        now: Seconds since 1970.
    """

    stack: Stack
    phase: str
    now: float


def advance(unit: Unit, attempt: Attempt) -> Moment:
    """Takes note of what has ended, moves the stack on, and says what can be begun; else rests or ends.

    Raises:
        Conflict: If another process holds the operation (LEASE_LOST).
    """
    operation = attempt.operation
    unit.check_held(operation.name, operation.fence)
    stack = unit.stack(operation.target)
    if stack is None or stack.operation != operation.name:
        # An open run and its stack change together, so this cannot be; a late holder must not go on.
        raise Conflict(f"{operation.target} is no longer worked on", reason="LEASE_LOST")
    if stack.state is StackState.ACCEPTED:
        stack = unit.put_stack(stack, lifecycle.apply(stack))
    stack = _settle(unit, stack)
    stored = unit.operation(operation.name) or operation
    _tell(unit, stored, stack)
    if stack.state is StackState.UNDOING:
        return _undo(unit, attempt, stack)
    return _go_on(unit, attempt, stack, stored.state is OperationState.CANCELLING)


def _settle(unit: Unit, stack: Stack) -> Stack:
    undoes = stack.state is StackState.UNDOING
    found: list[MemberState] = []
    for state in stack.member_states:
        after = state
        if state.became is Became.RUNNING:
            after = settled(unit, state, removes=undoes or state.left, undoes=undoes)
        if after is not state:
            unit.put_member_state(stack.name, after)
        found.append(after)
    return replace(stack, member_states=tuple(found))


def _go_on(unit: Unit, attempt: Attempt, stack: Stack, cancelling: bool) -> Moment:
    states = {state.key: state for state in stack.member_states}
    running, failures = turns.running(states), turns.failures(states)
    applied, removed = turns.is_applied(states), turns.is_removed(states)
    if applied and removed and not running:
        return _succeed(unit, attempt, stack)
    if failures or cancelling:
        if cancelling:
            for state in running:
                unit.request_cancel(state.operation)
        if running:
            return _rest(unit, attempt, stack)
        first = failures[0] if failures else None
        why = cancelled(stack.name) if cancelling or first is None else _member_failed(stack, first)
        return _give_up(unit, attempt, stack, why)
    if not applied:
        return _begin_or_rest(unit, attempt, stack, "apply", turns.to_apply(states))
    if stack.state is StackState.APPLYING and (wrong := _wrong_outputs(unit, stack)) is not None:
        return _give_up(unit, attempt, stack, wrong)
    return _begin_or_rest(unit, attempt, stack, "remove", turns.to_remove(states))


def _begin_or_rest(unit: Unit, attempt: Attempt, stack: Stack, phase: str, ready: list[MemberState]) -> Moment:
    if any(state.due <= unit.now for state in ready):
        return Moment(stack, phase, unit.now)
    return _rest(unit, attempt, stack, ready)


def _rest(unit: Unit, attempt: Attempt, stack: Stack, later: Iterable[MemberState] = ()) -> Moment:
    """Gives the run's place back until a member is to be tried again, or an operation that the run began ends."""
    until = min([unit.now + BACKSTOP_SECONDS, *(state.due for state in later)])
    unit.rest(attempt.operation.name, attempt.operation.fence, until)
    return Moment(stack, "", unit.now)


def _give_up(unit: Unit, attempt: Attempt, stack: Stack, why: Problem) -> Moment:
    """Begins nothing more; undoes what the run created, or ends it."""
    undoes = stack.state is StackState.APPLYING and stack.undoes
    found: list[MemberState] = []
    for state in stack.member_states:
        after = replace(state, due=0.0, tries=0, begun=0.0)
        if state.became is Became.WAITING:
            after = replace(after, became=Became.SKIPPED, error=None)
        if after != state:
            unit.put_member_state(stack.name, after)
        found.append(after)
    stack = replace(stack, member_states=tuple(found))
    if not undoes:
        end_failed(unit, attempt, stack, why)
        return Moment(stack, "", unit.now)
    stack = unit.put_stack(stack, lifecycle.undo(stack, why))
    return _undo(unit, attempt, stack)


def _undo(unit: Unit, attempt: Attempt, stack: Stack) -> Moment:
    states = {state.key: state for state in stack.member_states}
    ready = turns.to_undo(states)
    if ready or turns.running(states):
        return _begin_or_rest(unit, attempt, stack, "undo", ready)
    assert stack.error is not None  # it is set when the undoing begins
    end_failed(unit, attempt, stack, stack.error)
    return Moment(stack, "", unit.now)


def _succeed(unit: Unit, attempt: Attempt, stack: Stack) -> Moment:
    if stack.state is StackState.DELETING:
        end_removed(unit, attempt, stack)
        return Moment(stack, "", unit.now)
    try:
        found = outputs(unit, stack)
    except SutlerError as error:
        return _give_up(unit, attempt, stack, problem(error))
    end_succeeded(unit, attempt, stack, found)
    return Moment(stack, "", unit.now)


def _wrong_outputs(unit: Unit, stack: Stack) -> Problem | None:
    """Returns what is wrong with the outputs of the stack; None if they can be told."""
    try:
        outputs(unit, stack)
    except SutlerError as error:
        return problem(error)
    return None


def _member_failed(stack: Stack, state: MemberState) -> Problem:
    assert state.error is not None  # a member that failed says why
    return member_failed(stack.name, state.member, state.error)


def _tell(unit: Unit, operation: Operation, stack: Stack) -> None:
    """Stores how many members are done, as the progress of the run."""
    states = stack.member_states
    open = sum(state.became in (Became.WAITING, Became.RUNNING) for state in states)
    done = len(states) - open
    step = f"{done} of {len(states)} members done"
    if stack.state is StackState.UNDOING:
        step = f"undoing {len(turns.created({state.key: state for state in states}))} members"
    percent = max(operation.progress, 99 * done // max(1, len(states)))
    unit.tell_progress(operation.name, operation.fence, percent, step)
