"""What random changes are made of. Names are few, so that changes meet each other."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from tests.integration.resource.model.rulings import RULINGS
from tests.integration.resource.model.stacks import NAME, OUTPUTS, Piece
from tests.integration.resource.model.things import RESOURCE_GROUPS, Json, Kind, Version

SERVERS, DATABASES, MACHINES = "Custom.Org/servers", "Custom.Org/servers/databases", "Custom.Org/machines"
SCOPES = (
    "",
    "managementGroups/a",
    "managementGroups/b",
    "subscriptions/x",
    "subscriptions/y",
    "subscriptions/x/resourceGroups/g",
    "subscriptions/X/resourceGroups/h",
)
FIELDS = ("properties", "tags", "references", "lock", "expires", "version")

picks = st.sampled_from(range(60))
ids = st.sampled_from(["one", "two", "ONE", "three", "four"])
types = st.sampled_from([SERVERS, SERVERS, SERVERS, SERVERS, DATABASES, RESOURCE_GROUPS, "Custom.Org/unknown"])
own_types = st.sampled_from([SERVERS, DATABASES, MACHINES])
mostly = st.sampled_from([True, True, True, False])
rarely = st.sampled_from([False, False, False, False, False, True])
fresh = st.sampled_from([None, None, None, True, False])
behaviours = st.sampled_from(["ok", "ok", "final", "hang", "hang"])
sizes = st.sampled_from([1, 2, 3, 4, 5, 8, 9, "big"])
properties = st.fixed_dictionaries(
    {"size": sizes},
    optional={
        "tier": st.sampled_from(["a", "a", "a", "b"]),
        "label": st.sampled_from([" Red ", "blue"]),
    },
)
outcomes = st.sampled_from(["ok", "outputs", "final", "hang"])
actions = st.sampled_from(["restart", "restart", "restart", "explode"])
handled = st.fixed_dictionaries(
    {
        "behave": behaviours,
        "end": behaviours,
        "presence": st.sampled_from(["ABSENT", "PARTIAL", "WHOLE"]),
        "count": st.sampled_from([1, 2]),
    },
    optional={"validate": st.sampled_from(["ok", "ok", "ok", "ok", "refuse", "down"])},
)
masks = st.one_of(st.none(), st.just(("*",)), st.lists(st.sampled_from(FIELDS), min_size=1, unique=True).map(tuple))
locks = st.sampled_from(["", "", "", "", "NONE", "CAN_NOT_DELETE", "READ_ONLY"])
unique_within = st.sampled_from([frozenset(), frozenset({1}), frozenset({2}), frozenset({3}), frozenset({3, 5})])
patterns = st.sampled_from(["Custom.Org/servers", "Custom.Org/servers*", "Custom.Org/machines", "Custom.*", "*", "*"])
rulings = st.lists(st.sampled_from(sorted(RULINGS)), min_size=1, max_size=2, unique=True)
policies = st.fixed_dictionaries(
    {},
    optional={
        "exclusions": st.lists(st.sampled_from(SCOPES[1:]), max_size=1),
        "enabled": st.booleans(),
    },
)
quotas = st.fixed_dictionaries(
    {"limit": st.sampled_from([0, 1, 2, 3, 4, 20])},
    optional={"type": patterns, "field": st.just("properties.size")},
)


def versions(*rules: str) -> st.SearchStrategy[Version]:
    """Versions of a type that may have these rules."""
    return st.builds(
        Version,
        name=st.sampled_from(["v1", "v2"]),
        maximum=st.sampled_from([4, 10]),
        rules=st.sets(st.sampled_from(rules)).map(sorted).map(tuple),
        retired=rarely,
    )


def kinds(type: str) -> st.SearchStrategy[Kind]:
    """What a type can be."""
    rules = ("no-three", "grows", "fits") if type == DATABASES else ("no-three", "grows")
    several = st.lists(versions(*rules), min_size=1, max_size=2, unique_by=lambda version: version.name).map(tuple)
    places = st.one_of(st.just(frozenset()), st.frozensets(st.integers(1, 4), min_size=3))
    if type == DATABASES:
        places = st.just(frozenset())
    return st.builds(Kind, st.just(type), several, unique_within, places, st.just(type == MACHINES))


def good(type: str) -> st.SearchStrategy[Kind]:
    """What a type can be in the beginning: it may stand everywhere, and all its versions can be written."""
    return kinds(type).map(
        lambda kind: replace(
            kind, allowed=frozenset(), versions=tuple(replace(version, retired=False) for version in kind.versions)
        )
    )


def tightened(kind: Kind, aspect: str) -> Kind:
    """A type that allows less, in one way."""
    last = kind.versions[-1]
    if aspect == "maximum":
        return replace(kind, versions=(*kind.versions[:-1], replace(last, maximum=2)))
    if aspect == "rules":
        return replace(kind, versions=(*kind.versions[:-1], replace(last, rules=("no-three",))))
    if aspect == "scopes":
        return replace(kind, scopes=frozenset({1}))
    if aspect == "allowed" and kind.type != DATABASES:
        return replace(kind, allowed=frozenset({2, 4}))
    return replace(kind, versions=kind.versions[-1:])


def changed(pieces: tuple[Piece, ...], change: str, properties: Json) -> tuple[Piece, ...]:
    """The members of a stack with one change."""
    if not pieces or change == "again":
        return pieces
    named = {other for piece in pieces for other in piece.others}
    ends = [piece for piece in pieces if piece.id not in named]
    if change == "less":
        return tuple(piece for piece in pieces if piece not in ends)
    if change == "more" and ends:
        return (*pieces, Piece("five", MACHINES, properties, needs=(ends[0].id,)))
    return tuple(replace(piece, properties=properties) if piece.type == MACHINES else piece for piece in pieces)


@st.composite
def lines(draw: st.DrawFn) -> tuple[Piece, ...]:
    """Members of a stack, each of which needs the one before; seldom also in a circle, or one that is not there."""
    found: list[Piece] = []
    taken = draw(st.lists(st.sampled_from(["one", "two", "three", "four"]), max_size=4, unique=True))
    for id in taken:
        before = found[-1] if found else None
        choices = [SERVERS, SERVERS, MACHINES, MACHINES] + [DATABASES] * (before is not None and before.type == SERVERS)
        type = draw(st.sampled_from(choices))
        label = None
        if before is not None and draw(st.booleans()):
            label = (before.id, OUTPUTS if before.type == MACHINES and draw(st.booleans()) else NAME)
        found.append(
            Piece(
                id,
                type,
                draw(members if type == MACHINES else sized),
                within=before.id if before is not None and type == DATABASES else "",
                needs=(before.id,) if before is not None else (),
                label=label,
                tags=draw(st.sampled_from([{}, {"by": "stack"}])),
                keep=draw(rarely),
                lock=draw(locks),
            )
        )
    if found and draw(rarely) and draw(rarely):
        first = found[0]
        found[0] = Piece(first.id, first.type, first.properties, needs=(draw(st.sampled_from([*taken[-1:], "none"])),))
    return tuple(draw(st.sampled_from([found, found[::-1]])))


stacks = st.sampled_from(["stacks/one", "stacks/two", "stacks/Two"])
failure_policies = st.sampled_from(["UNSPECIFIED", "UNDO", "KEEP", "KEEP"])
changes = st.sampled_from(["again", "less", "more", "other"])
sized = st.fixed_dictionaries({}, optional={"size": st.sampled_from([1, 2, 3, 4, 9])})
members = st.fixed_dictionaries(
    {
        "behave": st.sampled_from(["ok", "ok", "ok", "final", "hang"]),
        "end": st.sampled_from(["ok", "ok", "final", "hang"]),
    },
    optional={"presence": st.sampled_from(["ABSENT", "PARTIAL", "WHOLE"])},
)
