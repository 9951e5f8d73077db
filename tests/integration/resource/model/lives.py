"""What becomes of a change once it is accepted: the handler does at once, or never, what the properties say."""

from __future__ import annotations

from dataclasses import replace

from tests.integration.resource.model.rulings import used
from tests.integration.resource.model.things import QUOTAS, Json, Thing, Wish, Work, below, key
from tests.integration.resource.model.world import World

NOBODY = {"lock": "", "expires": ""}
"""What handlers do not see."""


def apply(world: World, thing: Thing, work: Work) -> None:
    """A handler makes a resource what is declared."""
    properties = thing.wish.properties
    work.behave = str(properties.get("behave", "ok"))
    if work.behave == "hang":
        thing.state = "UPDATING" if thing.observed else "PROVISIONING"
        thing.outputs, thing.reason, thing.work, work.ended = {"seen": True}, "", work, False
    elif work.behave == "final":
        thing.outputs = {"machines": ["half"]}
        _end(thing, work, "FAILED", "HANDLER_FAILED")
    else:
        thing.outputs = {"machines": [f"m{index}" for index in range(int(properties.get("count", 1)))]}
        _end(thing, work, "SUCCEEDED", "")


def invoke(thing: Thing, work: Work) -> None:
    """A handler carries out an action, which leaves the state as it is."""
    if work.behave == "hang":
        thing.work, work.ended = work, False
    elif work.behave == "final":
        thing.outputs, work.error = {"machines": ["half"]}, "HANDLER_FAILED"
    elif work.behave == "outputs":
        thing.outputs = {"machines": ["restarted"]}
        thing.findings = (*thing.findings, (f"resourceTypes/{thing.type.replace('/', '.')}", ""))


def remove(world: World, thing: Thing, work: Work) -> None:
    """A resource goes with all below it: in waves of those that have nothing below them."""
    gone = [thing, *world.children(thing.name)]
    if not any(world.kind(found.type).handled for found in gone):
        for found in gone:
            del world.things[key(found.name)]
        return
    _take(thing, work)
    work.crowd = len(gone) > 1
    while True:
        inside = [found for found in (thing, *world.children(thing.name)) if key(found.name) in world.things]
        wave = [found for found in inside if not any(below(other.name, found.name) for other in inside)]
        for found in wave:
            _take(found, work)
            _remove_one(world, found, work)
        if work.hands:
            work.ended = False
            return
        if work.error:
            give_up(world, work, work.error)
            return
        if key(thing.name) not in world.things:
            return


def _remove_one(world: World, thing: Thing, work: Work) -> None:
    ends = thing.ends if world.kind(thing.type).handled else "ok"
    if ends == "ok":
        del world.things[key(thing.name)]
    elif ends == "final":
        thing.outputs, work.error = {"machines": ["half"]}, "HANDLER_FAILED"
    else:
        work.hands.append(key(thing.name))


def _take(thing: Thing, work: Work) -> None:
    thing.state, thing.reason, thing.work = "DELETING", "", work


def _end(thing: Thing, work: Work, state: str, reason: str) -> None:
    thing.state, thing.reason, thing.work = state, reason, None
    if state == "SUCCEEDED":
        thing.observed = thing.generation
    work.ended, work.error = True, reason


def give_up(world: World, work: Work, reason: str) -> None:
    """An operation fails, and with it all that it had in hand."""
    for thing in world.things.values():
        if thing.work is work:
            _end(thing, work, "FAILED", reason)
    work.ended, work.error = True, reason


def cancel(world: World, work: Work) -> None:
    """A hanging operation is cancelled: what the handler finds decides."""
    if work.verb == "delete":
        _cancel_delete(world, work)
        return
    thing = world.things[key(work.target)]
    presence = thing.wish.properties.get("presence", "ABSENT")
    if presence == "WHOLE":
        thing.outputs = {"machines": ["found"]}
    if work.verb == "invoke":
        thing.work, work.ended = None, True
        work.error = "CANCEL_INCOMPLETE" if presence == "PARTIAL" else "CANCELLED"
    elif presence == "PARTIAL":
        _end(thing, work, "FAILED", "CANCEL_INCOMPLETE")
    elif presence == "WHOLE":
        _end(thing, work, "SUCCEEDED", "")
    else:
        _end(thing, work, "CANCELED", "CANCELLED")


def _cancel_delete(world: World, work: Work) -> None:
    if work.error:  # another resource of the same wave has failed already, and that decides
        give_up(world, work, work.error)
        return
    half = work.crowd
    for name in work.hands:
        presence = world.things[name].wish.properties.get("presence", "ABSENT")
        if presence == "ABSENT":
            del world.things[name]
            if name == key(work.target):
                work.ended = True
                return
        half = half or presence == "PARTIAL"
    give_up(world, work, "CANCEL_INCOMPLETE" if half else "CANCELLED")


def abandon(world: World, work: Work) -> None:
    """A hanging operation is given up; an action leaves the state as it is."""
    if work.verb == "invoke":
        world.things[key(work.target)].work = None
        work.ended, work.error = True, "ABANDONED"
    else:
        give_up(world, work, "ABANDONED")


def concerns_handler(handled: bool, before: Thing | None, wish: Wish) -> bool:
    """Whether a handler has something to do."""
    if not handled:
        return False
    if before is None or before.state in ("FAILED", "CANCELED"):
        return True
    return replace(before.wish, **NOBODY) != replace(wish, **NOBODY)


def shown(world: World, thing: Thing) -> Json:
    """What can be seen of a resource."""
    outputs = {"used": used(world, thing)} if key(thing.type) == key(QUOTAS) else thing.outputs
    return {
        "type": thing.type,
        "properties": thing.wish.properties,
        "tags": dict(thing.wish.tags),
        "references": thing.wish.references,
        "lock": thing.wish.lock,
        "expires": thing.wish.expires,
        "version": thing.wish.version,
        "state": thing.state,
        "reason": thing.reason,
        "outputs": outputs,
        "generation": thing.generation,
        "observed": thing.observed,
        "reconciling": thing.work is not None,
        "findings": thing.findings,
        "stack": thing.stack,
    }
