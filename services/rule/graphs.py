"""The graph of the rules: which event types fire which rules, and which rules cause events of which types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class NodeKind(IntEnum):
    """What a node stands for, by the numbers of the contract."""

    EVENT_TYPE = 1
    RULE = 2


class EdgeKind(IntEnum):
    """What an edge means, by the numbers of the contract."""

    FIRES = 1
    EMITS = 2
    CHANGES = 3


@dataclass(frozen=True, slots=True)
class Node:
    """An event type or a rule.

    Attributes:
        id: The type, a template that gives it, or the name of the rule.
        kind: What it stands for.
        external: Whether events of the type come from outside.
        enabled: Whether the rule is enabled.
    """

    id: str
    kind: NodeKind
    external: bool = False
    enabled: bool = False


@dataclass(frozen=True, slots=True)
class Edge:
    """What leads to what.

    Attributes:
        source: The id of the node where it begins.
        target: The id of the node where it ends.
        kind: What it means.
        label: The pattern that matches, the action's id, or the property.
        certain: Whether it always holds.
        conditional: Whether the rule has conditions that may stop it.
    """

    source: str
    target: str
    kind: EdgeKind
    label: str
    certain: bool = True
    conditional: bool = False


@dataclass(frozen=True, slots=True)
class Cycle:
    """A way that comes back to its start.

    Attributes:
        nodes: The ids of its nodes in order, beginning with a rule.
        certain: Whether all of its edges are.
        conditional: Whether a rule of it has conditions that may end it.
    """

    nodes: Sequence[str]
    certain: bool
    conditional: bool


@dataclass(frozen=True, slots=True)
class Graph:
    """The graph.

    Attributes:
        nodes: Event types and rules, by id.
        edges: What leads to what.
        truncated: Whether there is more.
    """

    nodes: Sequence[Node]
    edges: Sequence[Edge]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is wrong with the rules as a whole.

    Attributes:
        graph: The graph.
        cycles: The ways in which a rule can fire itself again.
        unreachable: The names of rules that nothing can fire.
        unhandled: The event types that no enabled rule matches.
        truncated: Whether there are more cycles.
    """

    graph: Graph
    cycles: Sequence[Cycle]
    unreachable: Sequence[str]
    unhandled: Sequence[str]
    truncated: bool
