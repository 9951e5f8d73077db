"""What must hold before a change: the stages in their order, each with the reason that it refuses with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.integration.resource.model import lives
from tests.integration.resource.model.rulings import (
    Ask,
    Findings,
    check_quotas,
    judge,
    judge_removal,
    policies,
    with_defaults,
)
from tests.integration.resource.model.things import Kind, Refusal, Thing, Wish, key
from tests.integration.resource.model.world import World, completed, is_group

FORBIDS_DELETE = ("CAN_NOT_DELETE", "READ_ONLY")


@dataclass(frozen=True)
class Proposal:
    """A resource as it would be; ``before`` is None if it is to be created."""

    kind: Kind
    name: str
    wish: Wish
    before: Thing | None
    blind: bool = False
    """Whether what is directly above is not there yet, so that rules which see it cannot be checked."""

    @property
    def idle(self) -> bool:
        """Whether nothing would be done."""
        before = self.before
        return before is not None and before.state not in ("FAILED", "CANCELED") and before.wish == self.wish


def prepared(world: World, proposal: Proposal) -> Proposal:
    """A proposal with what policies and its type set where nothing is set."""
    wish = with_defaults(_policies(world, proposal), _ask(proposal))
    return replace(proposal, wish=completed(proposal.kind, wish))


def check(world: World, proposal: Proposal) -> Findings:
    """Refuses a prepared proposal that fails a stage, and says what policies find."""
    _content(world, proposal)
    _standing(world, proposal)
    if not proposal.idle:
        _locks(world, proposal)
    _references(world, proposal)
    findings = () if proposal.idle else judge(_policies(world, proposal), _ask(proposal))
    if proposal.before is None and key(proposal.name) in world.things:
        raise Refusal("ALREADY_EXISTS")
    after = World()
    after.kinds = world.kinds
    after.things = {**world.things, key(proposal.name): Thing(proposal.name, proposal.kind.type, proposal.wish)}
    if after.clashes():
        raise Refusal("NOT_UNIQUE")
    check_quotas(world, after)
    if lives.concerns_handler(proposal.kind.handled, proposal.before, proposal.wish):
        _handler(proposal.wish)
    return findings


def _handler(wish: Wish) -> None:
    if wish.properties.get("validate") == "refuse":
        raise Refusal("HANDLER_REJECTED")
    if wish.properties.get("validate") == "down":
        raise Refusal("DEPENDENCY_UNAVAILABLE")


def _policies(world: World, proposal: Proposal) -> list[Thing]:
    return policies(world, proposal.name, world.group(proposal.name, proposal.wish))


def _ask(proposal: Proposal) -> Ask:
    method = "create" if proposal.before is None else "update"
    return Ask(method, proposal.name, proposal.kind.type, proposal.wish)


def _content(world: World, proposal: Proposal) -> None:
    version, before = proposal.kind.version(proposal.wish.version), proposal.before
    if proposal.blind and "fits" in version.rules:
        version = replace(version, rules=())
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
    if before and world.locked([before], "READ_ONLY") and replace(proposal.wish, lock="READ_ONLY") != before.wish:
        raise Refusal("LOCKED")
    holders = [*world.above(proposal.name), *world.groups(proposal.name)]
    target = world.group(proposal.name, proposal.wish)
    if target and key(target) in world.things:
        holders += [world.things[key(target)], *world.groups(target)]
    if world.locked(holders, "READ_ONLY"):
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


def check_delete(world: World, thing: Thing, force: bool) -> Findings:
    """Refuses to delete what cannot be, and says what policies find."""
    name = thing.name
    if thing.work or any(above.state == "DELETING" for above in world.above(name)):
        raise Refusal("OPERATION_IN_PROGRESS")
    children = world.children(name)
    if world.locked((thing, *world.above(name), *world.groups(name)), *FORBIDS_DELETE):
        raise Refusal("LOCKED")
    if any(child.wish.lock in FORBIDS_DELETE for child in children):
        raise Refusal("LOCKED")
    if children and not force:
        raise Refusal("HAS_CHILDREN")
    if world.users(name):
        raise Refusal("IN_USE")
    if any(child.work for child in children):
        raise Refusal("OPERATION_IN_PROGRESS")
    return judge_removal(world, thing)


def check_action(world: World, thing: Thing, action: str, parameters: dict[str, object]) -> Findings:
    """Refuses an action that cannot be invoked, and says what policies find."""
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
    if world.locked((thing, *world.above(thing.name), *world.groups(thing.name)), "READ_ONLY"):
        raise Refusal("LOCKED")
    return judge(policies(world, thing.name), Ask("invoke", thing.name, thing.type, thing.wish))
