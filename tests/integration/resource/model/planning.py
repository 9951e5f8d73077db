"""What a run of a stack has to do, and what is refused before anything is done."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from tests.integration.resource.model.checks import Proposal, check, prepared
from tests.integration.resource.model.stacks import OUTPUTS, Member, Piece, Stack, is_there, merged, resolved
from tests.integration.resource.model.things import Refusal, ancestors, below, key, parent_of
from tests.integration.resource.model.world import World


def planned(world: World, before: Stack | None, name: str, scope: str, pieces: tuple[Piece, ...], policy: str) -> Stack:
    """A stack with what there is to do; refuses what can be refused before anything is done."""
    if before is not None and before.work:
        raise Refusal("OPERATION_IN_PROGRESS")
    if before is not None and scope and key(scope) != key(before.scope):
        raise Refusal("FIELD_IMMUTABLE")
    scope = before.scope if before else scope
    for piece in pieces:
        world.kind(piece.type)
    order = _ordered(pieces)
    names = _names(world, scope, order, pieces)
    _check_places(world, scope, names)
    known = {key(member.name): member for member in before.members} if before else {}
    stack = Stack(before.name if before else name, scope, policy, pieces, [])
    steps = _steps(world, stack, order, names, known)
    leaving = [m for at, m in known.items() if m.thing is not None and at not in set(map(key, names.values()))]
    left = removals(world, stack.name, leaving, list(names.values()), force=False)
    expected = {key(names[piece.id]) for piece in pieces if key(names[piece.id]) not in world.things}
    stack.members = [*(member for *_, member in steps), *left]
    world.lifts = stack.lifts
    for _, proposal, _ in sorted(steps, key=lambda step: pieces.index(step[0])):
        if proposal is not None:
            _check_alone(world, proposal, expected)
    world.lifts = {}
    return stack


def removals(world: World, stack: str, leaving: list[Member], staying: list[str], *, force: bool) -> list[Member]:
    """What is to be done with members that leave a stack; refuses if something stands below them that stays."""
    there = [m for m in leaving if m.thing is not None and world.things.get(key(m.name)) is m.thing]
    found = [replace(m, left=True, became="WAITING", error="", created=False, stuck=False, work=None) for m in there]
    stays = [*staying, *(member.name for member in found if member.keep)]
    for member in (member for member in found if not member.keep):
        strangers = [thing for thing in world.children(member.name) if thing.stack != stack]
        if any(below(other, member.name) for other in stays) or (strangers and not force):
            raise Refusal("HAS_CHILDREN")
    return found


def _ordered(pieces: Iterable[Piece]) -> list[Piece]:
    by_id = {piece.id: piece for piece in pieces}
    for piece in by_id.values():
        if any(other not in by_id for other in piece.others):
            raise Refusal("REFERENCE_UNRESOLVED")
    try:
        return [by_id[id] for id in TopologicalSorter({p.id: p.others for p in by_id.values()}).static_order()]
    except CycleError:
        raise Refusal("REFERENCE_CYCLE") from None


def _names(world: World, scope: str, order: list[Piece], pieces: tuple[Piece, ...]) -> dict[str, str]:
    names: dict[str, str] = {}
    wrong: dict[str, Refusal] = {}
    for piece in (piece for piece in order if not piece.within or piece.within in names):
        try:
            name = world.place(names[piece.within] if piece.within else piece.parent or scope, piece.type, piece.id)
            if key(name) in map(key, names.values()):
                raise Refusal("FIELD_INVALID")
            names[piece.id] = name
        except Refusal as refusal:
            wrong[piece.id] = refusal
    _refuse_first(wrong, pieces)
    return names


def _refuse_first(wrong: dict[str, Refusal], pieces: tuple[Piece, ...]) -> None:
    """Refuses for what is wrong with the first member in the request, if anything is."""
    for piece in pieces:
        if piece.id in wrong:
            raise wrong[piece.id]


def _check_places(world: World, scope: str, names: dict[str, str]) -> None:
    made = set(map(key, names.values()))
    places = [scope, *(parent_of(name) for name in names.values() if key(parent_of(name)) not in made)]
    if any(place and key(place) not in world.things for place in places):
        raise Refusal("NOT_FOUND")


Step = tuple[Piece, "Proposal | None", Member]
"""A member, what is checked of it beforehand, if anything is, and what the stack knows of it."""


def _steps(
    world: World, stack: Stack, order: list[Piece], names: dict[str, str], known: dict[str, Member]
) -> list[Step]:
    found: list[Step] = []
    unsure: set[str] = set()
    wrong: dict[str, Refusal] = {}
    for piece in order:
        kind = world.kind(piece.type)
        try:
            step, stays = _step(world, stack, piece, names, known, unsure)
        except Refusal as refusal:
            wrong[piece.id] = refusal
            unsure.add(piece.id)
            continue
        if kind.handled and not stays:
            unsure.add(piece.id)
        found.append(step)
    _refuse_first(wrong, stack.pieces)
    return found


def _step(
    world: World, stack: Stack, piece: Piece, names: dict[str, str], known: dict[str, Member], unsure: set[str]
) -> tuple[Step, bool]:
    """What is to be done with one member, and whether it stays as it is."""
    thing, kind = world.things.get(key(names[piece.id])), world.kind(piece.type)
    member = _member(world, piece, names, known)
    later = piece.label is not None and piece.label[1] == OUTPUTS and piece.label[0] in unsure
    properties = {} if later else resolved(world, piece, names)
    if thing is not None and thing.stack and key(thing.stack) != key(stack.name):
        raise Refusal("STACK_CONFLICT")
    wish = merged(thing, piece, properties, member)
    kind.version(wish.version)
    stays = not later and is_there(thing, wish)
    return (piece, None if stays or later else Proposal(kind, member.name, wish, thing), member), stays


def _member(world: World, piece: Piece, names: dict[str, str], known: dict[str, Member]) -> Member:
    name = names[piece.id]
    thing, earlier = world.things.get(key(name)), known.get(key(name)) or Member("", "")
    above = [key(other) for other in ancestors(name)]
    needs = tuple(key(names[id]) for id in names if id in piece.others or key(names[id]) in above)
    return Member(
        piece.id,
        thing.name if thing else name,
        earlier.thing,
        keep=piece.keep,
        needs=needs,
        properties=earlier.properties,
        tags=earlier.tags,
        lock=earlier.lock,
    )


def _check_alone(world: World, proposal: Proposal, expected: set[str]) -> None:
    """Checks a member as if it were sent alone, but that what will be there counts as being there."""
    blind = key(parent_of(proposal.name)) in expected
    check(world, prepared(world, replace(proposal, blind=blind)))
