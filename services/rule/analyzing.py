"""Finds what is wrong with the rules as a whole: cycles, rules that nothing can fire, types that nobody handles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice

import networkx as nx

from services.rule.events import HANDLER_FAILED, PROPERTY_CHANGED, PROPERTY_DELETED, SUBJECT_DELETED, VALIDATION_FAILED
from services.rule.graphing import graph_of
from services.rule.graphs import Analysis, Cycle, Edge, EdgeKind, Graph, Node, NodeKind
from services.rule.patterns import TYPE_SEPARATOR, Pattern
from services.rule.rules import Rule
from services.rule.templates import is_template

MAX_CYCLES = 1000
MAX_CYCLE_NODES = 200
MAX_TYPE_BYTES = 256

OWN = (PROPERTY_CHANGED, PROPERTY_DELETED, SUBJECT_DELETED, HANDLER_FAILED, VALIDATION_FAILED)
"""Types of events that this service emits by itself, so that a rule which waits for them is not unreachable."""


def analyze(rules: Sequence[Rule], external: Collection[str]) -> Analysis:
    """Returns what is wrong with some rules.

    Args:
        rules: The rules.
        external: Event types that come from outside.
    """
    graph = graph_of(rules, external)
    nodes = {node.id: node for node in graph.nodes}
    cycles, more = _cycles(graph, nodes)
    handled = {edge.source for edge in graph.edges if edge.kind is EdgeKind.FIRES and nodes[edge.target].enabled}
    unhandled = [
        node.id
        for node in graph.nodes
        if node.kind is NodeKind.EVENT_TYPE
        and node.id not in handled
        and not is_template(node.id)
        and len(node.id.encode()) <= MAX_TYPE_BYTES
    ]
    return Analysis(graph, cycles, _unreachable(rules, graph, nodes, external), unhandled, graph.truncated or more)


def _cycles(graph: Graph, nodes: Mapping[str, Node]) -> tuple[list[Cycle], bool]:
    """Returns the cycles of enabled rules, and whether there are more."""
    going = [edge for edge in graph.edges if all(_goes_on(nodes[id_]) for id_ in (edge.source, edge.target))]
    by_ends: dict[tuple[str, str], list[Edge]] = {}
    for edge in going:
        by_ends.setdefault((edge.source, edge.target), []).append(edge)
    found = list(islice(nx.simple_cycles(nx.DiGraph(list(by_ends))), MAX_CYCLES + 1))
    shown = [_from_a_rule(ids, nodes) for ids in found[:MAX_CYCLES] if len(ids) <= MAX_CYCLE_NODES]
    cycles = []
    for ids in sorted(shown):
        steps = [by_ends[ends] for ends in zip(ids, [*ids[1:], ids[0]], strict=True)]
        certain = all(any(edge.certain for edge in edges) for edges in steps)
        cycles.append(Cycle(ids, certain, any(edge.conditional for edges in steps for edge in edges)))
    return cycles, len(cycles) < len(found)


def _goes_on(node: Node) -> bool:
    return node.kind is NodeKind.EVENT_TYPE or node.enabled


def _from_a_rule(ids: Sequence[str], nodes: Mapping[str, Node]) -> list[str]:
    """Returns the nodes of a cycle, beginning with the first of its rules by name."""
    start = ids.index(min(id_ for id_ in ids if nodes[id_].kind is NodeKind.RULE))
    return [*ids[start:], *ids[:start]]


def _unreachable(
    rules: Sequence[Rule], graph: Graph, nodes: Mapping[str, Node], external: Collection[str]
) -> list[str]:
    """Returns the rules that no way leads to from what comes from outside or from this service itself."""
    ways = nx.DiGraph()
    ways.add_nodes_from(nodes)
    ways.add_edges_from((edge.source, edge.target) for edge in graph.edges if _goes_on(nodes[edge.source]))
    own = [
        rule.name
        for rule in rules
        if any(Pattern(text, TYPE_SEPARATOR).matches(type_) for text in rule.definition.on for type_ in OWN)
    ]
    begins = [id_ for id_ in (*external, *own) if id_ in ways]
    reached = {id_ for layer in nx.bfs_layers(ways, begins) for id_ in layer} if begins else set()
    return [rule.name for rule in rules if rule.name not in reached]
