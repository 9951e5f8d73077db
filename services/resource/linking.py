"""What a resource names must exist: its location, other resources that it needs, the management group above it."""

from __future__ import annotations

from sutler.errors import FailedPrecondition, Invalid

from services.resource.names import BUILT_IN, is_below, key, parse
from services.resource.ports import View
from services.resource.proposals import Proposal
from services.resource.resource import Declared
from services.resource.states import State

GROUPS = key(f"{BUILT_IN}/managementGroups")
BELONGING = (key(f"{BUILT_IN}/subscriptions"), GROUPS)
"""The keys of the types that belong to management groups."""

MAX_LEVELS = 8
"""How deep management groups may nest."""

MAX_REFERENCES = 10_000
"""How many references are followed to find a cycle."""


def check_references(view: View, proposal: Proposal) -> None:
    """Checks that whatever the resource names exists, and that references form no cycle.

    Raises:
        FailedPrecondition: If something does not exist, or is being deleted (REFERENCE_UNRESOLVED).
        Invalid: If there would be a cycle (REFERENCE_CYCLE), or management groups too deep (FIELD_INVALID).
    """
    wished, old = proposal.wished, proposal.before.declared if proposal.before else Declared()
    if wished.location and key(wished.location) != key(old.location):
        _check_location(view, proposal, wished.location)
    for index, target in enumerate(wished.references):
        if target not in old.references:
            _check_stays(view, f"resource.references[{index}]", target)
    if proposal.before is not None and set(wished.references) - set(old.references):
        _check_cycle(view, proposal)
    group = group_of(proposal.type.type, wished)
    if group and key(group) != key(group_of(proposal.type.type, old)):
        _check_group(view, proposal, group)


def group_of(type: str, declared: Declared) -> str:
    """Returns the management group that a subscription or a group names; empty for all others."""
    if key(type) in BELONGING:
        return str(declared.properties.get("management_group", ""))
    return ""


def groups_changed(type: str, wished: Declared, before: Declared) -> tuple[str, ...]:
    """Returns the management groups that a change leaves and joins."""
    old, new = group_of(type, before), group_of(type, wished)
    return tuple(filter(None, (old, new))) if key(old) != key(new) else ()


def _check_location(view: View, proposal: Proposal, location: str) -> None:
    found = view.resource(location)
    if found is None:
        raise _unresolved("resource.location", location)
    if found.declared.properties.get("enabled") is False:
        raise _unresolved("resource.location", location, "takes no new resources: it is not enabled")


def _check_stays(view: View, field: str, target: str) -> None:
    """What goes must get no new users: its delete has looked for them already."""
    found = view.resource(target)
    if found is None:
        raise _unresolved(field, target)
    above = view.above(parse(found.name))
    if found.state is State.DELETING or any(s.state is State.DELETING and is_below(target, s.name) for s in above):
        raise _unresolved(field, target, "is being deleted")


def _check_group(view: View, proposal: Proposal, group: str) -> None:
    field = "resource.properties.management_group"
    chain = view.groups(group)
    if not chain:
        raise _unresolved(field, group)
    if chain[0].state is State.DELETING:
        raise _unresolved(field, group, "is being deleted")
    names = [scope.name for scope in chain]
    if proposal.name.key in {key(name) for name in names}:
        raise _cycle([proposal.name.text, *names])
    if key(proposal.type.type) == GROUPS and len(chain) + view.levels_below(proposal.name.text) >= MAX_LEVELS:
        raise Invalid(f"{field}: management groups nest deeper than {MAX_LEVELS}", metadata={"field": field})


def _check_cycle(view: View, proposal: Proposal) -> None:
    """Follows references from the new ones, breadth first, and looks for the way back."""
    came_from: dict[str, str] = {key(target): "" for target in proposal.wished.references}
    waiting = list(proposal.wished.references)
    for name in waiting:
        if key(name) == proposal.name.key:
            cycle = [name]
            while came_from[key(cycle[-1])]:
                cycle.append(came_from[key(cycle[-1])])
            raise _cycle([proposal.name.text, *reversed(cycle)])
        if len(waiting) > MAX_REFERENCES:
            raise Invalid("resource.references: too many references to follow", metadata={"field": "references"})
        for target in view.referred(name):
            if key(target) not in came_from:
                came_from[key(target)] = name
                waiting.append(target)


def _cycle(names: list[str]) -> Invalid:
    cycle = ", ".join(names)
    return Invalid(f"references form a cycle: {cycle}", reason="REFERENCE_CYCLE", metadata={"cycle": cycle[:2000]})


def _unresolved(field: str, target: str, why: str = "does not exist") -> FailedPrecondition:
    return FailedPrecondition(
        f"{field}: {target} {why}", reason="REFERENCE_UNRESOLVED", metadata={"field": field, "target": target}
    )
