"""What must hold before a change: the stages in their order, each with the reason that it refuses with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.integration.resource.model.things import Kind, Refusal, Thing, Wish, below, key, parent_of
from tests.integration.resource.model.world import World, is_group, level_of

FORBIDS_DELETE = ("CAN_NOT_DELETE", "READ_ONLY")


@dataclass(frozen=True)
class Proposal:
    """A resource as it would be; ``before`` is None if it is to be created."""

    kind: Kind
    name: str
    wish: Wish
    before: Thing | None

    @property
    def idle(self) -> bool:
        """Whether nothing would be done."""
        before = self.before
        return before is not None and before.state not in ("FAILED", "CANCELED") and before.wish == self.wish


def check(world: World, proposal: Proposal) -> None:
    """Refuses a proposal that fails a stage."""
    _content(world, proposal)
    _standing(world, proposal)
    if not proposal.idle:
        _locks(world, proposal)
    _references(world, proposal)
    _unique(world, proposal)


def _content(world: World, proposal: Proposal) -> None:
    version, before = proposal.kind.version(proposal.wish.version), proposal.before
    if version.retired and (before is None or before.wish.version != version.name):
        raise Refusal("TYPE_VERSION_UNAVAILABLE")
    new, old = proposal.wish.properties, before.wish.properties if before else None
    if old is not None and not proposal.kind.builtin and old.get("tier") != new.get("tier"):
        raise Refusal("FIELD_IMMUTABLE")
    if not proposal.kind.valid(version, new, old, world.parent_properties(proposal.name)):
        raise Refusal("RESOURCE_INVALID")


def _standing(world: World, proposal: Proposal) -> None:
    gone = [*world.above(proposal.name), *([proposal.before] if proposal.before else [])]
    if any(thing.state == "DELETING" for thing in gone):
        raise Refusal("STATE_INVALID")
    if proposal.before and proposal.before.work:
        raise Refusal("OPERATION_IN_PROGRESS")


def _locks(world: World, proposal: Proposal) -> None:
    before = proposal.before
    if before and before.wish.lock == "READ_ONLY" and replace(proposal.wish, lock="READ_ONLY") != before.wish:
        raise Refusal("LOCKED")
    holders = [*world.above(proposal.name), *world.groups(proposal.name)]
    target = world.group(proposal.name, proposal.wish)
    if target and key(target) in world.things:
        holders += [world.things[key(target)], *world.groups(target)]
    if any(holder.wish.lock == "READ_ONLY" for holder in holders):
        raise Refusal("LOCKED")


def _references(world: World, proposal: Proposal) -> None:
    old = proposal.before.wish if proposal.before else Wish()
    new = [target for target in proposal.wish.references if target not in old.references]
    if any(key(target) not in world.things or world.leaving(target) for target in new):
        raise Refusal("REFERENCE_UNRESOLVED")
    if proposal.before and any(_leads(world, target, proposal.name) for target in new):
        raise Refusal("REFERENCE_CYCLE")
    group = world.group(proposal.name, proposal.wish) if is_group(proposal.name) else ""
    if not group or key(group) == key(world.group(proposal.name, old)):
        return
    if key(group) not in world.things or world.leaving(group):
        raise Refusal("REFERENCE_UNRESOLVED")
    if key(proposal.name) in (key(group), *(key(found.name) for found in world.groups(group))):
        raise Refusal("REFERENCE_CYCLE")


def _leads(world: World, start: str, goal: str) -> bool:
    """Whether references lead from one resource to another."""
    seen, waiting = set(), [key(start)]
    while waiting:
        name = waiting.pop()
        if name == key(goal):
            return True
        if name not in seen and name in world.things:
            seen.add(name)
            waiting += [key(target) for target in world.things[name].wish.references]
    return False


def _unique(world: World, proposal: Proposal) -> None:
    if proposal.before is None and key(proposal.name) in world.things:
        raise Refusal("ALREADY_EXISTS")
    copy = World()
    copy.kinds = world.kinds
    copy.things = {**world.things, key(proposal.name): Thing(proposal.name, proposal.kind.type, proposal.wish)}
    if copy.clashes():
        raise Refusal("NOT_UNIQUE")


def check_delete(world: World, thing: Thing, force: bool) -> None:
    """Refuses to delete what cannot be."""
    name = thing.name
    if thing.work or any(above.state == "DELETING" for above in world.above(name)):
        raise Refusal("OPERATION_IN_PROGRESS")
    children = world.children(name)
    if children and not force:
        raise Refusal("HAS_CHILDREN")
    if world.users(name):
        raise Refusal("IN_USE")
    if any(holder.wish.lock in FORBIDS_DELETE for holder in (thing, *world.above(name), *world.groups(name))):
        raise Refusal("LOCKED")
    if any(child.work for child in children):
        raise Refusal("OPERATION_IN_PROGRESS")
    if any(child.wish.lock in FORBIDS_DELETE for child in children):
        raise Refusal("LOCKED")


def check_action(world: World, thing: Thing, action: str, parameters: dict[str, object]) -> None:
    """Refuses an action that cannot be invoked."""
    if not world.kind(thing.type).handled or action != "restart":
        raise Refusal("ACTION_UNKNOWN")
    if set(parameters) - {"behave"}:
        raise Refusal("PARAMETERS_INVALID")
    if world.leaving(thing.name):
        raise Refusal("STATE_INVALID")
    if thing.work:
        raise Refusal("OPERATION_IN_PROGRESS")
    if thing.state not in ("SUCCEEDED", "FAILED"):
        raise Refusal("STATE_INVALID")
    if any(holder.wish.lock == "READ_ONLY" for holder in (thing, *world.above(thing.name), *world.groups(thing.name))):
        raise Refusal("LOCKED")


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
