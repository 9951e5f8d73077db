"""Names of resources: full paths of collections and ids, compared ignoring ASCII case, in the case of their creation.

A scope has a short name (``subscriptions/s``); all else is the scope, ``providers/`` and the namespace of the type, and
pairs of collection and id. A part never holds a ``/``, so nothing can be smuggled in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache

from sutler.errors import Invalid, invalid

from services.resource.scopes import Scope

BUILT_IN = "Sutler.Resource"
"""The namespace of the types that come with the service; nobody can register types in it."""

MAX_PAIRS = 8
MAX_BYTES = 1024
MAX_TYPE_BYTES = 63

ROOT = ""
"""The name of what is above everything: the root of the tenant."""

_PROVIDERS = "providers"
_ID = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
_COLLECTION = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_NAMESPACE = re.compile(r"[A-Za-z][A-Za-z0-9]*\.[A-Za-z][A-Za-z0-9]*")
_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9]*\.[A-Za-z][A-Za-z0-9]*(/[A-Za-z][A-Za-z0-9]*){1,5}")
_ROOTS = {"managementgroups": Scope.MANAGEMENT_GROUP, "subscriptions": Scope.SUBSCRIPTION}
_GROUPS = "resourcegroups"
_SHORT = {"locations": (Scope.GLOBAL,), "policies": (), "quotas": ()}
"""Built-in collections that are no scopes, and where they may stand; in every scope if nothing is said."""
_LEVELS = {
    "": Scope.GLOBAL,
    f"{BUILT_IN}/managementGroups".lower(): Scope.MANAGEMENT_GROUP,
    f"{BUILT_IN}/subscriptions".lower(): Scope.SUBSCRIPTION,
    f"{BUILT_IN}/resourceGroups".lower(): Scope.RESOURCE_GROUP,
}
"""The level of what stands directly in a scope, by the scope's type."""


@dataclass(frozen=True, slots=True)
class Name:
    """The name of one resource, taken apart.

    Attributes:
        text: The whole name.
        type: The type, as the name spells it.
        scope: The name of the scope that it stands in; empty for the root.
        level: What kind of scope that is.
        parent: The scope or resource directly above; empty for the root.
        id: The last part.
    """

    text: str
    type: str
    scope: str
    level: Scope
    parent: str
    id: str

    @property
    def key(self) -> str:
        """What names are compared by."""
        return key(self.text)

    @property
    def above(self) -> tuple[str, ...]:
        """The keys of the scopes and resources above it, the nearest first."""
        return _above(key(self.parent)) if self.parent else ()


@lru_cache(maxsize=8192)
def _above(parent: str) -> tuple[str, ...]:
    found: list[str] = []
    parts = parent.split("/")
    while parts:
        if parts[-2] == _PROVIDERS:
            parts = parts[:-2]
        if parts:
            found.append("/".join(parts))
        parts = parts[:-2]
    return tuple(found)


def key(text: str) -> str:
    """Returns what a name or type is compared by: itself in lower case; they hold nothing but ASCII."""
    return text.lower()


def parse(text: str, field: str = "name") -> Name:
    """Takes a name apart.

    Args:
        text: The name.
        field: Where the caller wrote it.

    Raises:
        Invalid: If it is the name of no resource (FIELD_INVALID).
    """
    try:
        return _parsed(text)
    except _Wrong as wrong:
        shown = text if len(text) <= 200 else f"{text[:200]}…"
        raise invalid(field, f"{shown!r} is no name of a resource: {wrong}", metadata={"name": shown}) from None


class _Wrong(Exception):
    """Says why a text is the name of no resource."""


@lru_cache(maxsize=8192)
def _parsed(text: str) -> Name:
    pairs = _pairs(text)
    level, depth = _scope(pairs)
    rest = pairs[depth:]
    scope = _join(pairs[:depth])
    if not rest:
        return _scope_itself(text, pairs)
    if key(rest[0][0]) != _PROVIDERS:
        return _short(text, rest, scope, level)
    namespace, own = rest[0][1], rest[1:]
    if not own:
        raise _Wrong("it ends with a namespace; a collection and an id must follow")
    if not _NAMESPACE.fullmatch(namespace) or key(namespace) == key(BUILT_IN):
        raise _Wrong(f"{namespace!r} is not a namespace of two parts such as Custom.Org")
    if any(key(collection) == _PROVIDERS for collection, _ in own):
        raise _Wrong("providers/ stands twice")
    type = "/".join([namespace, *(collection for collection, _ in own)])
    parent = _join(pairs[:-1]) if len(own) > 1 else scope
    return Name(text, type, scope, level, parent, own[-1][1])


def compose(parent: str, type: str, id: str, allowed: Collection[Scope]) -> Name:
    """Returns the name of a resource of a type below a parent.

    Args:
        parent: The name of the scope or resource above; empty for the root.
        type: The type.
        id: The last part.
        allowed: The scopes in which resources of the type may stand; any if empty.

    Raises:
        Invalid: If the parent is no name, the id is not one, or the name would be too long (FIELD_INVALID); if a
            resource of the type cannot stand there (PARENT_NOT_ALLOWED).
    """
    if not _ID.fullmatch(id):
        raise invalid("resource_id", "must be a letter, then up to 62 letters, digits, '.', '_' or '-'")
    check_place(parent, type, allowed)
    middle = ""
    if not parent_type(type):
        namespace, _, _ = type.partition("/")
        middle = "" if key(namespace) == key(BUILT_IN) else f"{_PROVIDERS}/{namespace}/"
    return parse(f"{parent}/" * bool(parent) + f"{middle}{type.rpartition('/')[2]}/{id}", "parent")


def check_place(parent: str, type: str, allowed: Collection[Scope]) -> None:
    """Checks that a resource of a type can stand below a parent; the arguments are those of :func:`compose`.

    Raises:
        Invalid: If it cannot (PARENT_NOT_ALLOWED), or the parent is no name (FIELD_INVALID).
    """
    found = parse(parent, "parent").type if parent else ""
    above = parent_type(type)
    if above:
        if key(found) != key(above):
            raise _misplaced(type, parent, above)
        return
    level = _LEVELS.get(key(found))
    if level is None or (allowed and level not in allowed):
        raise _misplaced(type, parent, ", ".join(scope.name for scope in sorted(allowed or set(_LEVELS.values()))))


def _misplaced(type: str, parent: str, allowed: str) -> Invalid:
    """Returns the error for a type that cannot stand below a parent."""
    return Invalid(
        f"a resource of type {type} cannot stand below {parent or 'the root'}; allowed: {allowed}",
        reason="PARENT_NOT_ALLOWED",
        metadata={"type": type, "parent": parent, "allowed": allowed},
    )


def parent_type(type: str) -> str:
    """Returns the type of the resources below which those of a type stand; empty if they stand in a scope."""
    head, _, _ = type.rpartition("/")
    return head if "/" in head else ""


def root_of(text: str) -> str:
    """Returns the key of the topmost scope of a name: a management group, a subscription, or the name's first pair."""
    return "/".join(key(text).split("/")[:2])


def is_below(name: str, ancestor: str) -> bool:
    """Returns whether a name is below another, or the other is the root."""
    return not ancestor or key(name).startswith(f"{key(ancestor)}/")


def type_from_id(id: str) -> str:
    """Returns the type that the last part of a ResourceType's name stands for.

    Raises:
        Invalid: If it stands for none (FIELD_INVALID).
    """
    type = spelled(id)
    if not _TYPE.fullmatch(type) or len(type) > MAX_TYPE_BYTES or _PROVIDERS in key(type).split("/"):
        raise invalid(
            "resource_type_id",
            "must be a namespace of two parts and one to five collections (none of them `providers`), joined by dots, "
            "such as Custom.Org.servers",
        )
    return type


def spelled(id: str) -> str:
    """Returns the last part of a ResourceType's name as a type would be written, whether it is one or not."""
    parts = id.split(".")
    return "/".join([".".join(parts[:2]), *parts[2:]])


def type_id(type: str) -> str:
    """Returns the last part of the name of a type."""
    return type.replace("/", ".")


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = text.split("/")
    if len(text) > MAX_BYTES or len(parts) % 2 or len(parts) > 2 * MAX_PAIRS:
        raise _Wrong(f"a name has 1 to {MAX_PAIRS} pairs of collection and id, at most {MAX_BYTES} bytes")
    pairs = list(zip(parts[::2], parts[1::2], strict=True))
    for collection, id in pairs:
        if not _COLLECTION.fullmatch(collection) or not _ID.fullmatch(id):
            raise _Wrong(f"{collection}/{id} is not a collection and an id")
    return pairs


def _scope(pairs: Sequence[tuple[str, str]]) -> tuple[Scope, int]:
    """Returns what scope a name begins with, and how many pairs that takes."""
    level = _ROOTS.get(key(pairs[0][0]))
    if level is None:
        return Scope.GLOBAL, 0
    if level is Scope.SUBSCRIPTION and len(pairs) > 1 and key(pairs[1][0]) == _GROUPS:
        return Scope.RESOURCE_GROUP, 2
    return level, 1


def _scope_itself(text: str, pairs: Sequence[tuple[str, str]]) -> Name:
    collection, id = pairs[-1]
    above = _join(pairs[:-1])
    level = Scope.SUBSCRIPTION if above else Scope.GLOBAL
    return Name(text, f"{BUILT_IN}/{collection}", above, level, above, id)


def _short(text: str, rest: Sequence[tuple[str, str]], scope: str, level: Scope) -> Name:
    collection, id = rest[0]
    allowed = _SHORT.get(key(collection))
    if allowed is None or len(rest) > 1 or (allowed and level not in allowed):
        raise _Wrong(f"{collection!r} cannot follow {scope or 'the root'}; is providers/… missing?")
    return Name(text, f"{BUILT_IN}/{collection}", scope, level, scope, id)


def _join(pairs: Sequence[tuple[str, str]]) -> str:
    return "/".join(f"{collection}/{id}" for collection, id in pairs)
