"""Runs of stacks in the model: what is begun next, what it leads to, and how a run ends.

The members of a stack in the model form a line, so that the order of all that happens is known. Where things would
happen at once and not all of them go well, the model says so (:class:`Unclear`), and the change is not made.
"""

from __future__ import annotations

from tests.integration.resource.model import lives
from tests.integration.resource.model.resources import Resources
from tests.integration.resource.model.stacks import Member, Piece, Stack, is_there, merged, own_lock, resolved
from tests.integration.resource.model.things import Refusal, ancestors, key

LATER = ("OPERATION_IN_PROGRESS", "DEPENDENCY_UNAVAILABLE")
"""With these a member is tried again, at a time that the model does not know."""


class Unclear(Exception):
    """What happens depends on which of two things is faster."""


def go_on(model: Resources, stack: Stack) -> None:
    """Takes a run as far as it goes."""
    while stack.work is not None and _step(model, stack):
        pass


def _step(model: Resources, stack: Stack) -> bool:
    """Makes one step; says whether there may be another."""
    for member in stack.members:
        _settle(stack, member)
    running = [member for member in stack.members if member.became == "RUNNING"]
    if stack.state == "UNDOING":
        ready = _to_undo(stack)
        if not ready and not running:
            _end_failed(stack)
        return _begin(model, stack, ready)
    declared = [member for member in stack.members if not member.left]
    leaving = [member for member in stack.members if member.left]
    applied = all(member.became == "SUCCEEDED" for member in declared)
    if applied and not running and all(member.became in ("DELETED", "SUCCEEDED") for member in leaving):
        _succeed(model, stack)
        return False
    failed = any(member.became == "FAILED" for member in stack.members)
    if stack.cancelling:
        for member in running:
            assert member.work is not None
            lives.cancel(model, member.work)
    if failed or stack.cancelling:
        if not running:
            _give_up(stack, "CANCELLED" if stack.cancelling else "STACK_MEMBER_FAILED")
        return stack.cancelling or not running
    return _begin(model, stack, _to_remove(stack) if applied else _to_apply(stack))


def _to_apply(stack: Stack) -> list[Member]:
    declared = {key(member.name): member for member in stack.members if not member.left}
    done = {at for at, member in declared.items() if member.became == "SUCCEEDED"}
    return [m for m in declared.values() if m.became == "WAITING" and set(m.needs) & set(declared) <= done]


def _to_remove(stack: Stack) -> list[Member]:
    there = [member for member in stack.members if member.left and member.thing is not None]
    return [member for member in there if member.became == "WAITING" and key(member.name) not in _bound(there)]


def _to_undo(stack: Stack) -> list[Member]:
    there = [member for member in stack.members if member.created and member.thing is not None]
    return [m for m in there if m.became != "RUNNING" and not m.stuck and key(m.name) not in _bound(there)]


def _bound(there: list[Member]) -> set[str]:
    """The keys of what some members need or stand below."""
    return {at for member in there for at in (*member.needs, *map(key, ancestors(member.name)))}


def _begin(model: Resources, stack: Stack, ready: list[Member]) -> bool:
    if ready and any(thing.wish.expires == "past" for thing in model.things.values()):
        raise Unclear  # what waits for its deletion may go in the middle of this
    model.lifts = stack.lifts
    for member in ready:
        try:
            if member.left or stack.state == "UNDOING":
                _remove(model, stack, member)
            else:
                _apply(model, stack, member)
        except Refusal as refusal:
            if refusal.reason in LATER:
                raise Unclear from None
            _fail(stack, member, refusal.reason)
    model.lifts = {}
    clear = all(m.became in ("SUCCEEDED", "DELETED", "UNDONE") for m in ready)
    if len(ready) > 1 and not clear:
        raise Unclear
    return bool(ready)


def _apply(model: Resources, stack: Stack, member: Member) -> None:
    piece = next(piece for piece in stack.pieces if piece.id == member.id)
    names = {other.id: other.name for other in stack.members if not other.left}
    properties = resolved(model, piece, names)
    thing = model.things.get(key(member.name))
    if thing is not None and thing.stack and key(thing.stack) != key(stack.name):
        raise Refusal("STACK_CONFLICT")
    wish, lock = merged(thing, piece, properties, member), own_lock(thing, piece, member)
    if thing is None or thing.work or not is_there(thing, wish):
        work = model.declare(member.name, piece.type, wish)
        if not work.ended or work.error:
            member.became, member.work = "RUNNING", work
        member.created = member.created or thing is None
        if not work.ended:
            model.works.append(work)
    _belongs(model, stack, member, piece, frozenset(properties), lock)


def _belongs(
    model: Resources, stack: Stack, member: Member, piece: Piece, properties: frozenset[str], lock: str
) -> None:
    thing = model.find(member.name)
    thing.stack = stack.name
    member.thing, member.name, member.error = thing, thing.name, ""
    member.properties, member.tags, member.lock = properties, frozenset(piece.tags), lock
    if member.became != "RUNNING":
        member.became = "SUCCEEDED"


def _remove(model: Resources, stack: Stack, member: Member) -> None:
    thing = model.things.get(key(member.name))
    there = thing is not None and thing is member.thing
    if member.keep and stack.state != "UNDOING":
        if there and thing is not None:
            thing.stack = ""
        member.became, member.thing, member.error = "SUCCEEDED", None, ""
        return
    if there:
        work = model.delete(member.name, force=stack.force)
        if not work.ended or work.error:
            member.became, member.work = "RUNNING", work
            if not work.ended:
                model.works.append(work)
            return
    _gone(stack, member)


def _settle(stack: Stack, member: Member) -> None:
    """Takes note of the end of what was begun."""
    if member.became != "RUNNING" or member.work is None or not member.work.ended:
        return
    if member.work.error:
        _fail(stack, member, member.work.error)
    elif member.left or stack.state == "UNDOING":
        _gone(stack, member)
    else:
        member.became, member.error = "SUCCEEDED", ""


def _gone(stack: Stack, member: Member) -> None:
    member.thing = None
    if stack.state == "UNDOING":
        member.became = "FAILED" if member.error not in ("", "CANCELLED") else "UNDONE"
    else:
        member.became, member.error = "DELETED", ""


def _fail(stack: Stack, member: Member, reason: str) -> None:
    member.became, member.error, member.stuck = "FAILED", reason, stack.state == "UNDOING"


def _give_up(stack: Stack, reason: str) -> None:
    for member in stack.members:
        if member.became == "WAITING":
            member.became, member.error = "SKIPPED", ""
    stack.error = reason
    if stack.state == "APPLYING" and stack.policy != "KEEP":
        stack.state = "UNDOING"
    else:
        _end_failed(stack)


def _end_failed(stack: Stack) -> None:
    left = stack.state == "UNDOING" and any(m.created and m.thing is not None for m in stack.members)
    cancelled = stack.error == "CANCELLED" and not left
    reason = "UNDO_INCOMPLETE" if left else stack.error
    _rest(stack, "CANCELED" if cancelled and stack.state != "DELETING" else "FAILED", reason)


def _succeed(model: Resources, stack: Stack) -> None:
    if stack.state == "DELETING":
        del model.stacks[key(stack.name)]
    stack.members = [member for member in stack.members if not member.left]
    _rest(stack, "SUCCEEDED", "")


def abandon(stack: Stack) -> None:
    """A run is given up; what it began on members goes on without it."""
    for member in stack.members:
        if member.became == "RUNNING":
            member.became, member.error = "FAILED", "ABANDONED"
        elif member.became == "WAITING":
            member.became = "SKIPPED"
    _rest(stack, "FAILED", "ABANDONED")


def _rest(stack: Stack, state: str, reason: str) -> None:
    """Ends the run."""
    assert stack.work is not None
    stack.state, stack.error = state, reason
    stack.work.ended, stack.work.error = True, reason
    stack.work, stack.cancelling = None, False
    for member in stack.members:
        member.created = member.stuck = False
