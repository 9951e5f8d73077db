"""How a run ends: with its stack as declared, gone, or failed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sutler.operations.model import Operation
from sutler.operations.model import State as OperationState

from services.resource.attempting import Attempt
from services.resource.ports import Unit, View
from services.resource.problems import Problem
from services.resource.stacks import lifecycle, turns
from services.resource.stacks.failures import CANCELLED, short, undo_incomplete, with_effects
from services.resource.stacks.stack import Action, Became, MemberState, Stack, StackState


def end_succeeded(unit: Unit, attempt: Attempt, stack: Stack, outputs: Mapping[str, Any]) -> None:
    """Ends a run whose members are all as declared; what left is forgotten."""
    states = tuple(_at_rest(state) for state in stack.member_states if not state.left)
    unit.set_member_states(stack.name, states)
    stored = unit.put_stack(stack, lifecycle.succeed(replace(stack, member_states=states), outputs))
    attempt.end(unit, OperationState.SUCCEEDED, stored, None)


def end_removed(unit: Unit, attempt: Attempt, stack: Stack) -> None:
    """Ends a run after which the stack is gone."""
    unit.remove_stack(stack.name)
    attempt.end(unit, OperationState.SUCCEEDED, None, None)


def end_failed(unit: Unit, attempt: Attempt, stack: Stack, why: Problem) -> None:
    """Ends a run that failed or was cancelled, with what it took back of its effects and what it did not."""
    states = {state.key: state for state in stack.member_states}
    left = len(turns.created(states)) if stack.state is StackState.UNDOING else 0
    was_cancelled = why.reason == CANCELLED and not left
    changed = sum(state.action is Action.UPDATE and bool(state.operation) for state in states.values())
    removed = sum(state.created and not state.uid for state in states.values())
    shown = with_effects(why, undone=removed, changed=changed)
    if left:
        shown = undo_incomplete(stack.name, shown, left)
    unit.set_member_states(stack.name, tuple(map(_at_rest, stack.member_states)))
    unit.put_stack(stack, lifecycle.cancel(stack, shown) if was_cancelled else lifecycle.fail(stack, shown))
    end = OperationState.CANCELLED if was_cancelled else OperationState.FAILED
    attempt.end(unit, end, None, shown)


def end_abandoned(unit: Unit, operation: Operation, why: Problem) -> None:
    """Has the stack of a run that was given up fail. What the run began on members goes on without it."""
    stack = unit.stack(operation.target)
    if stack is None or stack.operation != operation.name:
        return
    ends: dict[Became, dict[str, Any]] = {
        Became.RUNNING: {"became": Became.FAILED, "error": short(why)},
        Became.WAITING: {"became": Became.SKIPPED},
    }
    states = [replace(_at_rest(state), **ends.get(state.became, {})) for state in stack.member_states]
    unit.set_member_states(stack.name, states)
    unit.put_stack(stack, lifecycle.fail(stack, why))


def left_behind(view: View, operation: Operation) -> tuple[str, ...]:
    """Returns what a run that was given up may have left behind, for people."""
    stack = view.stack(operation.target)
    states = stack.member_states if stack else ()
    return tuple(
        f"{state.operation} may still work on {state.resource}"
        for state in states
        if state.operation and state.error is not None and state.error.reason == "ABANDONED"
    )


def _at_rest(state: MemberState) -> MemberState:
    """Returns the state of a member without what only the run had to know."""
    return replace(state, created=False, stuck=False, begun=0.0, due=0.0, tries=0)
