"""What leaves a stack: in which order it goes, and what must not stand below it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.resource.handling import Planned
from services.resource.names import is_below, parse
from services.resource.ports import View
from services.resource.stacks.failures import has_strangers
from services.resource.stacks.ordering import ordered
from services.resource.stacks.stack import Action, MemberState


def leaving_step(state: MemberState) -> Planned:
    """Returns the step for a resource that leaves."""
    reason = "leaves the stack and stays" if state.keep else "leaves the stack"
    return Planned(state.action.name, state.resource, reason=reason)


def removals(
    view: View, stack: str, leaving: Mapping[str, MemberState], staying: Sequence[str], *, force: bool
) -> list[MemberState]:
    """Returns what is to be done with resources that leave a stack, dependent ones first.

    Args:
        view: The store at this moment.
        stack: The name of the stack.
        leaving: What the stack knows of them, by key.
        staying: The names of the resources that remain in the stack.
        force: Whether what stands below them and is no member goes too.

    Raises:
        FailedPrecondition: If something stands below one of them that stays (HAS_CHILDREN).
    """
    found: dict[str, MemberState] = {}
    for at, state in leaving.items():
        resource = view.resource(state.resource)
        if resource is None or resource.uid != state.uid:
            continue
        found[at] = MemberState(
            member=state.member,
            resource=state.resource,
            action=Action.KEEP if state.keep else Action.DELETE,
            uid=state.uid,
            left=True,
            keep=state.keep,
            needs=state.needs,
            applied=state.applied,
        )
    stays = [*staying, *(state.resource for state in found.values() if state.keep)]
    for state in found.values():
        if not state.keep:
            _check_below(view, stack, state, stays, force)
    return [found[at] for at in reversed(ordered(_needs_among(found)))]


def _needs_among(states: Mapping[str, MemberState]) -> dict[str, list[str]]:
    return {
        at: [other for other in (*state.needs, *parse(state.resource).above) if other in states]
        for at, state in states.items()
    }


def _check_below(view: View, stack: str, state: MemberState, stays: Sequence[str], force: bool) -> None:
    for other in stays:
        if is_below(other, state.resource):
            raise has_strangers(state.member, state.resource, other)
    stranger = None if force else view.stranger_below(state.resource, stack)
    if stranger is not None:
        raise has_strangers(state.member, state.resource, stranger)
