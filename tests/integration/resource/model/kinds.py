"""What must hold before a type is changed or deleted."""

from __future__ import annotations

from tests.integration.resource.model.things import Kind, Refusal, below, key, parent_of
from tests.integration.resource.model.world import World, level_of


def check_kind(world: World, before: Kind, after: Kind) -> None:
    """Refuses a change of a type that what is stored does not fit."""
    stored = [thing for thing in world.things.values() if key(thing.type) == key(before.type)]
    kept = {version.name for version in after.versions}
    if any(thing.wish.version not in kept for thing in stored):
        raise Refusal("IN_USE")
    old = {version.name: version for version in before.versions}
    for thing in stored:
        version = after.version(thing.wish.version)
        same = (version.maximum, version.rules) == (old[version.name].maximum, old[version.name].rules)
        parent = world.parent_properties(thing.name)
        if not same and not after.valid(version, thing.wish.properties, None, parent):
            raise Refusal("TYPE_CHANGE_INCOMPATIBLE")
        if after.allowed and level_of(parent_of(thing.name)) not in after.allowed:
            raise Refusal("TYPE_CHANGE_INCOMPATIBLE")
    copy = World()
    copy.kinds, copy.things = {**world.kinds, key(after.type): after}, world.things
    if copy.clashes():
        raise Refusal("TYPE_CHANGE_INCOMPATIBLE")


def check_kind_unused(world: World, kind: Kind) -> None:
    """Refuses to delete a type that is in use."""
    if kind.builtin:
        raise Refusal("TYPE_BUILT_IN")
    if any(key(thing.type) == key(kind.type) for thing in world.things.values()):
        raise Refusal("IN_USE")
    if any(below(other.type, kind.type) for other in world.kinds.values()):
        raise Refusal("IN_USE")
