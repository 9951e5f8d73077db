"""Uniqueness keys; all in a subscription that moves to another management group has new ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sutler.errors import Exhausted

from services.resource.linking import group_of
from services.resource.names import BUILT_IN, key, parse
from services.resource.ports import Unit, View
from services.resource.proposals import Proposal
from services.resource.resource_type import ResourceType
from services.resource.scopes import Scope, uniqueness_key

CHUNK = 500
MAX_KEYS = 2000
"""How many keys one move may change: nothing else is written meanwhile, and each takes some 0.2 ms."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A resource in a subscription that moves: its type, its name, and the key that it has after that."""

    type: ResourceType
    name: str
    key: bytes


def moved(view: View, proposal: Proposal) -> list[Moved]:
    """Returns what has another key if a change is made; nothing unless it moves a subscription."""
    type, before = proposal.type.type, proposal.before
    if before is None or key(type) != key(f"{BUILT_IN}/subscriptions"):
        return []
    group = group_of(type, proposal.wished)
    if key(group) == key(group_of(type, before.declared)):
        return []
    return list(_moved(view, proposal.name.text, group))


def clash(view: View, found: list[Moved]) -> tuple[Moved, str] | None:
    """Returns one of what moved whose key another resource would hold, and that resource; None if all keys are free."""
    names = {key(one.name) for one in found}
    held: dict[bytes, str] = {}
    holders = view.holders([one.key for one in found])
    for one in found:
        holder = holders.get(one.key)
        if holder is not None and key(holder) not in names:
            return one, holder
        if held.setdefault(one.key, one.name) != one.name:
            return one, held[one.key]
    return None


def renew(unit: Unit, found: list[Moved]) -> None:
    """Has what moved hold its new keys, which are free."""
    if found:
        unit.change_keys({one.name: one.key for one in found})


def key_of(type: str, name: str, group: str, scopes: tuple[Scope, ...]) -> bytes:
    """Returns the uniqueness key of a resource of a type with these scopes."""
    taken = parse(name)
    return uniqueness_key(type, taken.id, taken.parent, taken.scope, group, scopes)


def _moved(view: View, subscription: str, group: str) -> Iterator[Moved]:
    for name in view.types_below(subscription):
        type = view.type(name)
        if type is None or Scope.MANAGEMENT_GROUP not in type.uniqueness_scopes:
            continue
        for count, found in enumerate(_names_of_type(view, subscription, type.type), start=1):
            if count > MAX_KEYS:
                raise _too_many(subscription, type)
            yield Moved(type, found, key_of(type.type, found, group, type.uniqueness_scopes))


def _too_many(subscription: str, type: ResourceType) -> Exhausted:
    return Exhausted(
        f"{subscription} has more than {MAX_KEYS} of {type.type}, whose keys would change with the management group; "
        "take MANAGEMENT_GROUP out of the uniqueness_scopes of the type, move, and put it back",
        reason="LIMIT_REACHED",
        metadata={"type": type.type, "scope": subscription, "limit": str(MAX_KEYS)},
        resource=subscription,
    )


def _names_of_type(view: View, subscription: str, type: str) -> Iterator[str]:
    last = ""
    while found := view.names_below(subscription, CHUNK, last, type=type):
        yield from found
        last = found[-1]
