"""Makes the graph of the rules from what they say."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from services.rule.definitions import DeleteProperty, EmitEvent, SetProperty
from services.rule.events import PROPERTY_CHANGED, PROPERTY_DELETED
from services.rule.graphs import Edge, EdgeKind, Graph, Node, NodeKind
from services.rule.patterns import TYPE_SEPARATOR, Pattern, PatternMap
from services.rule.rules import Rule
from services.rule.templates import is_template

MAX_EDGES = 100_000


@dataclass(frozen=True, slots=True)
class _Told:
    """A pattern of a rule."""

    pattern: Pattern
    rules: list[Rule]


def graph_of(rules: Sequence[Rule], external: Collection[str]) -> Graph:
    """Returns the graph of some rules.

    Args:
        rules: The rules; one without an active revision counts as not enabled.
        external: Event types that come from outside.
    """
    caused = list(islice((edge for rule in rules for edge in _causes(rule)), MAX_EDGES + 1))
    types = dict.fromkeys([*sorted(external), *(edge.target for edge in caused)])
    edges = list(islice(_edges(rules, list(types), caused), MAX_EDGES + 1))
    nodes = [Node(type_, NodeKind.EVENT_TYPE, external=type_ in external) for type_ in types]
    nodes += [Node(rule.name, NodeKind.RULE, enabled=is_active(rule)) for rule in rules]
    return Graph(nodes, edges[:MAX_EDGES], len(edges) > MAX_EDGES)


def is_active(rule: Rule) -> bool:
    """Returns whether events fire a rule."""
    return rule.enabled and rule.active > 0


def _edges(rules: Sequence[Rule], types: Sequence[str], caused: Sequence[Edge]) -> Iterator[Edge]:
    yield from caused
    patterns: PatternMap[list[Rule]] = PatternMap(TYPE_SEPARATOR, list)
    told: dict[str, _Told] = {}
    for rule in rules:
        for text in dict.fromkeys(rule.definition.on):
            patterns.slot(text).append(rule)
            told.setdefault(text, _Told(Pattern(text, TYPE_SEPARATOR), [])).rules.append(rule)
    for type_ in types:
        if is_template(type_):
            found = [(text, one.rules) for text, one in told.items() if _may_match(one.pattern, type_)]
        else:
            found = sorted(patterns.find(type_))
        for text, matching in found:
            for rule in matching:
                yield Edge(type_, rule.name, EdgeKind.FIRES, text, not is_template(type_), _conditional(rule))


def _causes(rule: Rule) -> Iterator[Edge]:
    """Yields what a rule emits and changes."""
    definition, conditional = rule.definition, _conditional(rule)
    for id_, action in zip(definition.action_ids, definition.actions, strict=True):
        match action.do:
            case EmitEvent(type=type_):
                yield Edge(rule.name, type_, EdgeKind.EMITS, id_, not is_template(type_), conditional)
            case SetProperty(ext=False, muted=False, property=property_):
                yield Edge(rule.name, PROPERTY_CHANGED, EdgeKind.CHANGES, property_, True, conditional)
            case DeleteProperty(ext=False, muted=False, property=property_):
                yield Edge(rule.name, PROPERTY_DELETED, EdgeKind.CHANGES, property_, True, conditional)
            case _:
                pass


def _conditional(rule: Rule) -> bool:
    return bool(rule.definition.when or rule.definition.subject)


def _may_match(pattern: Pattern, template: str) -> bool:
    """Returns whether some text that a template gives may match, by what it begins and ends with."""
    plain = template.replace("$${", "\0")
    prefix = plain[: plain.index("${")].replace("\0", "${")
    suffix = plain[plain.rindex("}") + 1 :]
    begins = prefix.startswith(pattern.prefix) or pattern.prefix.startswith(prefix)
    ends = suffix.endswith(pattern.suffix) or pattern.suffix.endswith(suffix)
    return begins and ends
