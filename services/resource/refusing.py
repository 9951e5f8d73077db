"""Has policies judge a delete: the resource itself, and what goes with it, however much that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.resource.callers import Caller
from services.resource.judging import Case, PolicyBook, judge, refuses
from services.resource.names import key, parse
from services.resource.policies import Policy
from services.resource.ports import Above, View
from services.resource.resource import Finding, Resource

JUDGED = 100
"""How many resources below one that is deleted are read at once for policies to judge."""

MAX_CHANGED = 500
"""How many resources are judged again within the change that begins a delete."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What was judged before a delete is stored, so that the change itself need not do it for very many.

    Attributes:
        since: The newest revision before that; what has changed after it is judged again.
        policies: Those that hold for what goes; if they have changed, all is judged again.
        refuses: Whether any of them can refuse something.
    """

    since: int
    policies: tuple[Policy, ...]
    refuses: bool


def findings_of(
    view: View,
    policies: PolicyBook,
    caller: Caller,
    resource: Resource,
    above: tuple[Above, ...],
    judged: Judged | None,
) -> tuple[Finding, ...]:
    """Returns what policies find worth knowing of a delete; raises PermissionDenied if one refuses any part of it."""
    holding = policies.of(view, resource.name, above)
    found = judge_one(view, caller, resource, holding)
    if judged is not None:
        if judged.refuses:
            _judge_all(view, policies, caller, view.below(resource.name, MAX_CHANGED, since=judged.since))
    elif refuses((*holding, *policies.below(view, resource.name))):
        last = ""
        while following := judge_some(view, policies, caller, resource.name, last):
            last = following
    return found


def judge_one(view: View, caller: Caller, resource: Resource, holding: tuple[Policy, ...]) -> tuple[Finding, ...]:
    """Returns what policies find of the delete of one resource; raises as :func:`findings_of`."""
    staying, at = _staying(view, caller, holding), parse(resource.name)
    parent = view.resource(at.parent) if staying and at.parent else None
    return judge(staying, Case(caller, "delete", resource, resource, parent))


def held(view: View, policies: PolicyBook, name: str) -> tuple[Policy, ...]:
    """Returns the policies that hold for a resource or for anything below it."""
    return (*policies.of(view, name, view.above(parse(name))), *policies.below(view, name))


def judge_some(view: View, policies: PolicyBook, caller: Caller, name: str, last: str) -> str:
    """Has policies judge some of what is below a resource, and returns the name to go on after; empty at the end."""
    chunk = view.below(name, JUDGED, last)
    _judge_all(view, policies, caller, chunk)
    return chunk[-1].name if chunk else ""


def _judge_all(view: View, policies: PolicyBook, caller: Caller, found: Sequence[Resource]) -> None:
    for child in found:
        judge_one(view, caller, child, policies.of(view, child.name, view.above(parse(child.name))))


def _staying(view: View, caller: Caller, holding: tuple[Policy, ...]) -> tuple[Policy, ...]:
    """Returns the policies that do not leave with the stack for which a resource is deleted."""
    if not caller.parts:
        return holding
    return tuple(policy for policy in holding if not _leaves(view, caller, policy))


def _leaves(view: View, caller: Caller, policy: Policy) -> bool:
    found = view.resource(policy.name) if key(policy.name) in caller.parts else None
    return found is not None and key(found.stack) == key(caller.stack)
