"""Stacks in the model: what a caller declares, what a stack knows of its members, and what it wishes of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tests.integration.resource.model.things import Json, Refusal, Thing, Value, Wish, Work, key
from tests.integration.resource.model.world import World

OUTPUTS, NAME = "outputs.machines", "name"
FREE = ("", "NONE")
"""The locks that forbid nothing."""


@dataclass(frozen=True)
class Piece(Value):
    """A member as it is sent. Its label may be what another has: the id of that, and ``name`` or the outputs."""

    id: str
    type: str
    properties: Json
    parent: str = ""
    within: str = ""
    """The id of the member below which it stands."""
    needs: tuple[str, ...] = ()
    label: tuple[str, str] | None = None
    tags: Json = field(default_factory=dict)
    keep: bool = False
    lock: str = ""

    @property
    def others(self) -> list[str]:
        """The ids of the members that it names."""
        return [*self.needs, *([self.within] if self.within else []), *([self.label[0]] if self.label else [])]


@dataclass
class Member:
    """What a stack knows of a resource that is, was or shall be a member; ``thing`` while it belongs to the stack."""

    id: str
    name: str
    thing: Thing | None = None
    left: bool = False
    keep: bool = False
    needs: tuple[str, ...] = ()
    properties: frozenset[str] = frozenset()
    """Which properties the stack has set."""
    tags: frozenset[str] = frozenset()
    lock: str = ""
    """The lock that the stack has set as its own, which its runs may pass."""
    became: str = "WAITING"
    error: str = ""
    created: bool = False
    stuck: bool = False
    work: Work | None = None

    def is_gone(self, world: World) -> bool:
        """Whether somebody else has deleted the resource."""
        return self.thing is not None and world.things.get(key(self.name)) is not self.thing


@dataclass
class Stack:
    """A stack; ``work`` is the run that is under way."""

    name: str
    scope: str
    policy: str
    pieces: tuple[Piece, ...]
    members: list[Member]
    state: str = "APPLYING"
    error: str = ""
    work: Work | None = None
    cancelling: bool = False
    force: bool = False

    @property
    def lifts(self) -> dict[int, str]:
        """The locks that its runs may pass, by the identities of their resources."""
        return {id(member.thing): member.lock for member in self.members if member.thing is not None and member.lock}

    def shown(self, world: World) -> Json:
        """What can be seen of it."""
        became = {id(m): "GONE" if m.became == "SUCCEEDED" and m.is_gone(world) else m.became for m in self.members}
        return {
            "scope": key(self.scope),
            "state": self.state,
            "error": self.error if self.state in ("FAILED", "CANCELED") else "",
            "busy": self.work is not None,
            "members": sorted((m.id, key(m.name), became[id(m)], m.error) for m in self.members),
        }


def merged(thing: Thing | None, piece: Piece, properties: Json, member: Member | None) -> Wish:
    """What is wished of a resource: what the stack had set goes unless it is wished, what others have set stays."""
    if thing is None:
        return Wish(properties, piece.tags, lock=piece.lock)
    mine = member if member is not None and member.thing is thing else Member("", "")
    kept = {name: value for name, value in thing.wish.properties.items() if name not in mine.properties}
    tags = {name: value for name, value in thing.wish.tags.items() if name not in mine.tags}
    lock = thing.wish.lock
    if lock in FREE or lock == mine.lock:
        lock = piece.lock or ("" if lock == mine.lock else lock)
    elif piece.lock == "READ_ONLY":
        lock = piece.lock
    return replace(thing.wish, properties={**kept, **properties}, tags={**tags, **piece.tags}, lock=lock)


def own_lock(thing: Thing | None, piece: Piece, member: Member) -> str:
    """The lock that a stack sets as its own: none where somebody else has set one."""
    mine = member.lock if thing is not None and member.thing is thing else ""
    return piece.lock if thing is None or thing.wish.lock in (*FREE, mine) else ""


def is_there(thing: Thing | None, wish: Wish) -> bool:
    """Whether a resource is as it is wished already, though an action may be at work on it."""
    return thing is not None and thing.state == "SUCCEEDED" and thing.wish == wish


def resolved(world: World, piece: Piece, names: dict[str, str]) -> Json:
    """The properties of a member with its label."""
    if piece.label is None:
        return piece.properties
    other, what = piece.label
    if what == NAME:
        return {**piece.properties, "label": names[other]}
    thing = world.things.get(key(names[other]))
    if thing is None or "machines" not in thing.outputs:
        raise Refusal("REFERENCE_UNRESOLVED")
    return {**piece.properties, "label": thing.outputs["machines"]}
