"""Policies and quotas in the model: which of them hold for a resource, what they say of a change, what is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from tests.integration.resource.model.things import POLICIES, QUOTAS, Json, Refusal, Thing, Wish, below, key
from tests.integration.resource.model.world import World

Findings = tuple[tuple[str, str], ...]
"""What policies find, as policy and rule."""

UNCOUNTED = (key(POLICIES), key(QUOTAS))


@dataclass(frozen=True)
class Ask:
    """What is to be done with what."""

    method: str
    name: str
    type: str
    wish: Wish

    @property
    def size(self) -> int:
        """The size; a LookupError stands for what cannot be evaluated."""
        return int(self.wish.properties["size"])


@dataclass(frozen=True)
class Ruling:
    """A rule of a policy: its CEL, and the same in Python; a default has a field and a value."""

    effect: str
    condition: str
    holds: Callable[[Ask], bool]
    field: str = ""
    value: str = ""


RULINGS: Mapping[str, Ruling] = {
    "small": Ruling(
        "DENY",
        "method in ['create', 'update'] && has(self.properties.size) && self.properties.size >= 8",
        lambda ask: ask.method in ("create", "update") and ask.wish.properties.get("size", 0) >= 8,
    ),
    "stay": Ruling("DENY", "method == 'delete'", lambda ask: ask.method == "delete"),
    "calm": Ruling("DENY", "method == 'invoke'", lambda ask: ask.method == "invoke"),
    "rough": Ruling("DENY", "self.properties.size == 5", lambda ask: ask.size == 5),
    "owned": Ruling("AUDIT", "!('team' in self.tags)", lambda ask: "team" not in ask.wish.tags),
    "centre": Ruling("SET_DEFAULT", "true", lambda ask: True, "tags.centre", "7"),
    "label": Ruling(
        "SET_DEFAULT", "method == 'create'", lambda ask: ask.method == "create", "properties.label", " Any"
    ),
}


def policies(world: World, name: str, group: str = "") -> list[Thing]:
    """The policies that hold for a name: those of scopes higher up first; also those of a group that it is to join."""
    joins = [world.things[key(group)], *world.groups(group)] if key(group) in world.things else []
    nearest = [name, *(thing.name for thing in (*world.above(name), *world.groups(name), *joins)), ""]
    scopes = list(dict.fromkeys(map(key, nearest)))[::-1]
    found = [thing for thing in world.things.values() if key(thing.type) == key(POLICIES)]
    return sorted(
        (policy for policy in found if _scope(policy) in scopes),
        key=lambda policy: (scopes.index(_scope(policy)), policy.name),
    )


def with_defaults(holding: list[Thing], ask: Ask) -> Wish:
    """A wish with what policies set where nothing is set."""
    for _, ruling in _rulings(holding, ask, ("SET_DEFAULT",)):
        part, _, name = ruling.field.partition(".")
        there: Mapping[str, object] = getattr(ask.wish, part)
        if name not in there and ruling.holds(ask):
            ask = replace(ask, wish=replace(ask.wish, **{part: {**there, name: ruling.value}}))
    return ask.wish


def judge(holding: list[Thing], ask: Ask) -> Findings:
    """What policies find, as policy and rule; refuses what they refuse."""
    findings, denied = [], False
    for policy, id in list(_ids(holding, ask)):
        ruling = RULINGS[id]
        if ruling.effect == "SET_DEFAULT":
            continue
        try:
            holds = ruling.holds(ask)
        except LookupError:
            raise Refusal("EXPRESSION_FAILED") from None
        denied = denied or (holds and ruling.effect == "DENY")
        if holds and ruling.effect == "AUDIT":
            findings.append((policy.name, id))
    if denied:
        raise Refusal("POLICY_DENIED")
    return tuple(findings)


def judge_removal(world: World, thing: Thing) -> Findings:
    """What policies find of a delete; each resource below is judged too."""
    found = _judged(world, thing)
    for child in sorted(world.children(thing.name), key=lambda child: key(child.name)):
        _judged(world, child)
    return found


def _judged(world: World, thing: Thing) -> Findings:
    return judge(policies(world, thing.name), Ask("delete", thing.name, thing.type, thing.wish))


def _rulings(holding: list[Thing], ask: Ask, effects: tuple[str, ...]) -> Iterator[tuple[Thing, Ruling]]:
    for policy, id in _ids(holding, ask):
        if RULINGS[id].effect in effects:
            yield policy, RULINGS[id]


def _ids(holding: list[Thing], ask: Ask) -> Iterator[tuple[Thing, str]]:
    for policy in holding:
        if _concerns(policy.wish.properties, ask):
            yield from ((policy, rule["id"]) for rule in policy.wish.properties["rules"])


def _concerns(properties: Json, ask: Ask) -> bool:
    if key(ask.type) == key(POLICIES) or properties.get("enabled") is False:
        return False
    types = properties.get("types", ["*"])
    if not any(fnmatchcase(key(ask.type), key(pattern)) for pattern in types):
        return False
    excluded = properties.get("exclusions", [])
    return not any(key(ask.name) == key(name) or below(ask.name, name) for name in excluded)


def _scope(thing: Thing) -> str:
    return key("/".join(thing.name.split("/")[:-2]))


def used(world: World, quota: Thing) -> int:
    """What there is of what a quota counts."""
    properties, scope = quota.wish.properties, _scope(quota)
    things = world.within(scope) if scope else list(world.things.values())
    counted = [
        thing
        for thing in things
        if key(thing.type) not in UNCOUNTED and fnmatchcase(key(thing.type), key(properties.get("type", "*")))
    ]
    if "field" not in properties:
        return len(counted)
    return sum(int(thing.wish.properties.get("size", 0)) for thing in counted)


def check_quotas(before: World, after: World) -> None:
    """Refuses a change by which a quota would be exceeded, or exceeded by more."""
    for quota in before.things.values():
        if key(quota.type) == key(QUOTAS):
            now, then = used(before, quota), used(after, quota)
            if then > now and then > quota.wish.properties["limit"]:
                raise Refusal("QUOTA_EXCEEDED")
