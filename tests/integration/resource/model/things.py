"""What the model is made of. Nothing here knows the service: names are text, types and resources are plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

GROUPS = "Sutler.Resource/managementGroups"
SUBSCRIPTIONS = "Sutler.Resource/subscriptions"
RESOURCE_GROUPS = "Sutler.Resource/resourceGroups"
POLICIES = "Sutler.Resource/policies"
QUOTAS = "Sutler.Resource/quotas"
LEVELS = {"": 1, GROUPS: 2, SUBSCRIPTIONS: 3, RESOURCE_GROUPS: 4}
"""The number of the scope in which stands what is directly below the root, or below a scope of this type."""

ANYWHERE = frozenset(LEVELS.values())

Json = dict[str, Any]


class Refusal(Exception):
    """The service refuses, with this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Value:
    """Never changes, so that a copy of the world need not copy it."""

    def __deepcopy__(self, memo: object) -> Value:
        return self


@dataclass(frozen=True)
class Rule:
    """A rule of a type: its CEL, and the same in Python; one that names the resource before counts in updates only."""

    expression: str
    kept: Callable[[Json, Json | None, Json | None], bool]


RULES: Mapping[str, Rule] = {
    "no-three": Rule("self.properties.size != 3", lambda new, old, parent: new["size"] != 3),
    "grows": Rule(
        "self.properties.size >= old_self.properties.size",
        lambda new, old, parent: old is None or new["size"] >= old["size"],
    ),
    "fits": Rule(
        "self.properties.size <= parent.properties.size",
        lambda new, old, parent: parent is None or new["size"] <= parent["size"],
    ),
}


@dataclass(frozen=True)
class Version:
    """A version of a type: the largest size, and which of the rules hold."""

    name: str
    maximum: int = 10
    rules: tuple[str, ...] = ()
    retired: bool = False


@dataclass(frozen=True)
class Kind(Value):
    """A resource type: its versions, the last being the default; built-in ones know other properties."""

    type: str
    versions: tuple[Version, ...] = (Version("v1"),)
    scopes: frozenset[int] = frozenset()
    allowed: frozenset[int] = frozenset()
    handled: bool = False
    known: frozenset[str] = frozenset()
    """The properties of a built-in type; empty for a registered one, whose properties have a size."""
    required: frozenset[str] = frozenset()
    """Those of them that must be there."""
    builtin: bool = False

    def version(self, name: str) -> Version:
        """The version of this name, or the last one."""
        found = [version for version in self.versions if version.name == (name or self.versions[-1].name)]
        if not found:
            raise Refusal("TYPE_VERSION_UNAVAILABLE")
        return found[0]

    def valid(self, version: Version, new: Json, old: Json | None, parent: Json | None) -> bool:
        """Whether properties fit the schema and keep the rules."""
        if self.builtin:
            return self.required <= set(new) <= self.known
        size = new["size"]
        if not isinstance(size, int) or size > version.maximum:
            return False
        return all(RULES[rule].kept(new, old, parent) for rule in version.rules)


BUILT_IN = (
    Kind(GROUPS, allowed=frozenset({1}), known=frozenset({"management_group"}), builtin=True),
    Kind(SUBSCRIPTIONS, allowed=frozenset({1}), known=frozenset({"management_group"}), builtin=True),
    Kind(RESOURCE_GROUPS, allowed=frozenset({3}), builtin=True),
    Kind(
        POLICIES,
        allowed=ANYWHERE,
        known=frozenset({"rules", "types", "exclusions", "enabled"}),
        required=frozenset({"rules"}),
        builtin=True,
    ),
    Kind(
        QUOTAS,
        allowed=ANYWHERE,
        known=frozenset({"type", "limit", "field"}),
        required=frozenset({"limit"}),
        builtin=True,
    ),
)


@dataclass(frozen=True)
class Wish(Value):
    """What a caller can write."""

    properties: Json = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    references: tuple[str, ...] = ()
    lock: str = ""
    expires: str = ""
    """Empty for never, ``past`` or ``future``."""
    version: str = ""


@dataclass
class Work:
    """An operation: on what, and what became of it; without an end it hangs in the handler."""

    verb: str
    target: str
    behave: str = ""
    ended: bool = True
    error: str = ""
    crowd: bool = False
    """Whether there was something below when a delete began."""
    hands: list[str] = field(default_factory=list)
    """The keys of the resources whose handler is at work on a delete."""
    name: str = ""
    """As the service calls it; empty until that is known."""
    told: bool = False
    """Whether its end has been compared."""


@dataclass
class Thing:
    """A resource as it can be seen."""

    name: str
    type: str
    wish: Wish
    state: str = "SUCCEEDED"
    reason: str = ""
    outputs: Json = field(default_factory=dict)
    generation: int = 1
    observed: int = 1
    work: Work | None = None
    findings: tuple[tuple[str, str], ...] = ()
    """What policies found, as policy and rule."""
    stack: str = ""

    @property
    def ends(self) -> str:
        """What its handler does when it is to be deleted."""
        return str(self.wish.properties.get("end", "ok"))


def key(text: str) -> str:
    """What names are compared by."""
    return text.lower()


def ancestors(name: str) -> list[str]:
    """The names above one, the nearest first."""
    found, parts = [], name.split("/")[:-2]
    while parts:
        if parts[-2] == "providers":
            parts = parts[:-2]
            continue
        found.append("/".join(parts))
        parts = parts[:-2]
    return found


def below(name: str, ancestor: str) -> bool:
    """Whether one name is below another."""
    return key(name).startswith(key(ancestor) + "/")


def parent_of(name: str) -> str:
    """The name of what is directly above; empty for the root."""
    above = ancestors(name)
    return above[0] if above else ""
