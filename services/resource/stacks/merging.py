"""Puts what a stack wishes onto a resource: what earlier runs set and this one leaves out goes, all else stays.

To know what earlier runs set, their keys are enough; values are not kept a second time. Only of the lock the value is
kept: somebody else's must not be taken for the stack's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.resource.resource import Declared, Lock

Shape = Mapping[str, Any]
"""The keys of an object; a key of an object in it leads to that one's shape, any other to None."""

SINGLE = ("display_name", "location", "expire_time")
"""The fields with one value, but for the lock."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a run has set in a resource.

    Attributes:
        properties: The keys of the properties.
        tags: The keys of the tags.
        references: The references.
        fields: Which of :data:`SINGLE`.
        lock: The lock that it has as long as nobody else sets another; unspecified if that is not the stack's.
    """

    properties: Shape = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    lock: Lock = Lock.UNSPECIFIED


NOTHING = Applied()


def applied(wished: Declared, current: Declared | None, before: Applied | None) -> Applied:
    """Returns what setting these values sets; the arguments are those of :func:`merged`."""
    unset = Declared()
    free = current is None or _is_free(current.lock, before or NOTHING)
    return Applied(
        shape(wished.properties),
        tuple(wished.tags),
        wished.references,
        tuple(name for name in SINGLE if getattr(wished, name) != getattr(unset, name)),
        wished.lock if free else Lock.UNSPECIFIED,
    )


def merged(current: Declared | None, wished: Declared, before: Applied | None) -> Declared:
    """Returns what is declared of a resource once a stack has set its wishes.

    Args:
        current: What is declared now; None if the resource does not exist.
        wished: What the stack wishes, without references. A property that is null is removed, as in an update.
        before: What earlier runs have set; None if none has.
    """
    if current is None:
        current, before = Declared(), None
    before = before or NOTHING
    changes: dict[str, Any] = {
        "properties": merge(current.properties, wished.properties, before.properties),
        "tags": {**_without(current.tags, before.tags), **wished.tags},
        "references": _merged_list(current.references, wished.references, before.references),
        "type_version": wished.type_version or current.type_version,
        "lock": _merged_lock(current.lock, wished.lock, before),
    }
    unset = Declared()
    for name in SINGLE:
        if getattr(wished, name) != getattr(unset, name):
            changes[name] = getattr(wished, name)
        elif name in before.fields:
            changes[name] = getattr(unset, name)
    return replace(current, **changes)


def shape(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the keys of an object, and those of the objects in it."""
    return {name: shape(value) if isinstance(value, Mapping) else None for name, value in values.items()}


def merge(current: Mapping[str, Any], wished: Mapping[str, Any], before: Shape) -> dict[str, Any]:
    """Returns an object with what is wished merged into it (RFC 7396), without what was set before and no longer is."""
    found: dict[str, Any] = {}
    for name in [*current, *(name for name in wished if name not in current)]:
        value, below = current.get(name), before.get(name)
        if name in wished:
            wish = wished[name]
            if isinstance(wish, Mapping):
                found[name] = merge(value if isinstance(value, Mapping) else {}, wish, below or {})
            elif wish is not None:
                found[name] = wish
        elif name not in before:
            found[name] = value
        elif below and isinstance(value, Mapping) and (rest := merge(value, {}, below)):
            found[name] = rest
    return found


def _merged_lock(current: Lock, wished: Lock, before: Applied) -> Lock:
    """Returns the lock that a resource gets; one that others have set stays, unless a stronger one is wished."""
    if not _is_free(current, before):
        return max(current, wished)
    return wished or (Lock.UNSPECIFIED if current is before.lock else current)


def _is_free(lock: Lock, before: Applied) -> bool:
    """Returns whether a lock forbids nothing, or is the stack's own."""
    return lock <= Lock.NONE or lock is before.lock


def _without(values: Mapping[str, str], keys: Sequence[str]) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in keys}


def _merged_list(current: Sequence[str], wished: Sequence[str], before: Sequence[str]) -> tuple[str, ...]:
    """Returns what others have put into a list, in its place, and what is wished."""
    stays = [item for item in current if item in wished or item not in before]
    return (*stays, *(item for item in wished if item not in stays))
