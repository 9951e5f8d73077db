"""The model's state: which types and resources there are, and the questions that the checks ask about them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tests.integration.resource.model.things import (
    BUILT_IN,
    GROUPS,
    LEVELS,
    SUBSCRIPTIONS,
    Json,
    Kind,
    Refusal,
    Thing,
    Wish,
    ancestors,
    below,
    key,
    parent_of,
)


class World:
    """All that one tenant has."""

    def __init__(self) -> None:
        self.kinds: dict[str, Kind] = {key(kind.type): kind for kind in BUILT_IN}
        self.things: dict[str, Thing] = {}
        self.lifts: dict[int, str] = {}
        """The locks that may be passed now, by the identities of their resources."""

    def find(self, name: str) -> Thing:
        """The resource of a name."""
        found = self.things.get(key(name))
        if found is None:
            raise Refusal("NOT_FOUND")
        return found

    def kind(self, type: str) -> Kind:
        """The type of a name."""
        found = self.kinds.get(key(type))
        if found is None:
            raise Refusal("TYPE_UNKNOWN")
        return found

    def locked(self, holders: Iterable[Thing], *locks: str) -> bool:
        """Whether one of these has one of these locks."""
        return any(holder.wish.lock in locks and self.lifts.get(id(holder)) != holder.wish.lock for holder in holders)

    def above(self, name: str) -> list[Thing]:
        """What exists above a name along its path, the nearest first."""
        return [self.things[key(text)] for text in ancestors(name) if key(text) in self.things]

    def children(self, name: str) -> list[Thing]:
        """All below a name."""
        return [thing for thing in self.things.values() if below(thing.name, name)]

    def level(self, name: str) -> list[Thing]:
        """All directly below a name."""
        return [thing for thing in self.things.values() if key(parent_of(thing.name)) == key(name)]

    def within(self, name: str) -> list[Thing]:
        """All below a name; below a management group is also what belongs to it, with all below that."""
        return [
            thing
            for thing in self.things.values()
            if below(thing.name, name) or any(key(group.name) == key(name) for group in self.groups(thing.name))
        ]

    def groups(self, name: str) -> list[Thing]:
        """The management groups to which something belongs or would belong, the nearest first."""
        found: list[Thing] = []
        for thing in [*([self.things[key(name)]] if key(name) in self.things else []), *self.above(name)]:
            group = self.group(thing.name, thing.wish)
            while group and key(group) in self.things:
                found.append(self.things[key(group)])
                group = self.group(group, found[-1].wish)
        return found

    def group(self, name: str, wish: Wish) -> str:
        """The management group that a subscription or group names."""
        return str(wish.properties.get("management_group", "")) if len(name.split("/")) == 2 else ""

    def users(self, name: str) -> list[Thing]:
        """The resources elsewhere that need this one, or one below it."""
        inside = {key(name), *(key(thing.name) for thing in self.children(name))}
        return [
            thing
            for thing in self.things.values()
            if key(thing.name) not in inside and any(key(target) in inside for target in self.needs(thing))
        ]

    def needs(self, thing: Thing) -> list[str]:
        """The names of what a resource needs to exist."""
        group = self.group(thing.name, thing.wish)
        return [*thing.wish.references, *([group] if group else [])]

    def leaving(self, name: str) -> bool:
        """Whether something, or a thing above it, is being deleted."""
        found = [*([self.things[key(name)]] if key(name) in self.things else []), *self.above(name)]
        return any(thing.state == "DELETING" for thing in found)

    def place(self, parent: str, type: str, id: str) -> str:
        """The name of a resource, if its type may stand below the parent."""
        kind = self.kind(type)
        above = self.things.get(key(parent))
        parent_type, _, collection = kind.type.rpartition("/")
        if "/" in parent_type:
            if type_of(parent) != key(parent_type):
                raise Refusal("PARENT_NOT_ALLOWED")
            return f"{parent}/{collection}/{id}"
        level = level_of(parent)
        if level is None or (kind.allowed and level not in kind.allowed):
            raise Refusal("PARENT_NOT_ALLOWED")
        middle = "" if kind.builtin else f"providers/{parent_type}/"
        return f"{above.name if above else parent}/".lstrip("/") + f"{middle}{collection}/{id}"

    def unique(self, kind: Kind, name: str) -> tuple[str, ...]:
        """What may exist once; a level that is missing stands for the scope."""
        path = [part for part in ancestors(key(name)) if "providers/" not in part]
        scope = path[0] if path else ""
        subscription = path[-1] if path and path[-1].startswith("subscriptions/") else scope
        group = path[-1] if path and path[-1].startswith("managementgroups/") else ""
        if subscription.startswith("subscriptions/") and subscription in self.things:
            group = self.group(subscription, self.things[subscription].wish)
        levels = {1: "", 2: key(group) or scope, 3: subscription, 4: scope, 5: key(parent_of(name))}
        return (key(kind.type), key(name).rpartition("/")[2], *(levels[number] for number in sorted(kind.scopes)))

    def clashes(self) -> bool:
        """Whether two resources hold the same key."""
        seen = set()
        for thing in self.things.values():
            kind = self.kinds[key(thing.type)]
            held = self.unique(kind, thing.name)
            if kind.scopes and held in seen:
                return True
            seen.add(held)
        return False

    def parent_properties(self, name: str) -> Json | None:
        """The properties of what is directly above."""
        above = self.above(name)
        return above[0].wish.properties if above else None


def level_of(scope: str) -> int | None:
    """The number of the scope in which stands what is directly below this name; None if it is no scope."""
    return {key(type): number for type, number in LEVELS.items()}.get(type_of(scope))


def type_of(name: str) -> str:
    """The key of the type that a name stands for; empty for the root."""
    if not name:
        return ""
    _, middle, rest = key(name).rpartition("providers/")
    if middle:
        parts = rest.split("/")
        return "/".join([parts[0], *parts[1::2]])
    return key(f"Sutler.Resource/{name.split('/')[-2]}")


def merged(before: Wish, sent: Wish, mask: tuple[str, ...] | None) -> Wish:
    """What an update makes of a wish: without a mask all that is sent, with ``*`` all, else the fields named."""
    if mask == ("*",):
        return sent
    changed = {}
    for name in ("properties", "tags", "references", "lock", "expires", "version"):
        value = getattr(sent, name)
        if name in mask if mask else value:
            if name == "properties" and value:
                value = patched(before.properties, value)
            changed[name] = value
    return replace(before, **changed)


def patched(before: Json, sent: Json) -> Json:
    """Flat RFC 7396: null removes."""
    return {name: value for name, value in {**before, **sent}.items() if value is not None}


def completed(kind: Kind, wish: Wish) -> Wish:
    """A wish with defaults and normalizations, under the version that it names or the type's default."""
    version = kind.version(wish.version).name
    if kind.builtin:
        return replace(wish, version=version)
    properties = {"size": 1, "tier": "a", **wish.properties}
    if isinstance(properties.get("label"), str):
        properties["label"] = properties["label"].strip().lower()
    return replace(wish, properties=properties, version=version)


def is_group(name: str) -> bool:
    """Whether a name is that of a management group or a subscription, which can belong to one."""
    return type_of(name) in (key(GROUPS), key(SUBSCRIPTIONS))
