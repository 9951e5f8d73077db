"""Whose turn it is: which members of a run can be begun, given what became of the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.resource.names import parse
from services.resource.stacks.stack import Became, MemberState

States = Mapping[str, MemberState]
"""What a stack knows of its members, by the keys of their resources."""


def to_apply(states: States) -> list[MemberState]:
    """Returns the members that can be made what is declared: all that they need is."""
    declared = {at: state for at, state in states.items() if not state.left}
    done = {at for at, state in declared.items() if state.became is Became.SUCCEEDED}
    return [
        state
        for state in declared.values()
        if state.became is Became.WAITING and all(other in done for other in state.needs if other in declared)
    ]


def to_remove(states: States) -> list[MemberState]:
    """Returns what left the stack and can go: nothing that leaves too needs it."""
    there = [state for state in states.values() if state.left and state.uid]
    bound = _bound(there)
    return [state for state in there if state.became is Became.WAITING and state.key not in bound]


def to_undo(states: States) -> list[MemberState]:
    """Returns what the run created and can be removed again: nothing else that it created needs it."""
    there = created(states)
    bound = _bound(there)
    return [
        state for state in there if state.became is not Became.RUNNING and not state.stuck and state.key not in bound
    ]


def created(states: States) -> list[MemberState]:
    """Returns what the run created and has not removed again."""
    return [state for state in states.values() if state.created and state.uid]


def is_applied(states: States) -> bool:
    """Returns whether all members are as declared."""
    return all(state.left or state.became is Became.SUCCEEDED for state in states.values())


def is_removed(states: States) -> bool:
    """Returns whether nothing is left of what left the stack, or it has been let go."""
    return all(state.became in (Became.DELETED, Became.SUCCEEDED) for state in states.values() if state.left)


def running(states: States) -> list[MemberState]:
    """Returns the members that are worked on."""
    return [state for state in states.values() if state.became is Became.RUNNING]


def failures(states: States) -> list[MemberState]:
    """Returns the members that failed, in their order."""
    return [state for state in states.values() if state.became is Became.FAILED]


def _bound(there: Iterable[MemberState]) -> set[str]:
    """Returns the keys of what some resources need or stand below."""
    return {other for state in there for other in (*state.needs, *parse(state.resource).above)}
