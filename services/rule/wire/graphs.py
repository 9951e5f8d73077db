"""What is wrong with the rules as a whole."""

from __future__ import annotations

from typing import Any

from sutler.paging import fitting
from sutler.rule.v1 import rule_pb2 as pb

from services.rule.diagrams import dot, mermaid
from services.rule.graphs import Analysis, Cycle, Edge, Node

_WRITERS = {pb.GRAPH_FORMAT_MERMAID: mermaid, pb.GRAPH_FORMAT_DOT: dot}
_LIMITS = {"cycles": 1000, "unreachable_rules": 10_000, "unhandled_event_types": 10_000, "nodes": 20_000}
_MAX_ID_BYTES, _MAX_LABEL_BYTES = 1024, 256


def analysis_pb(analysis: Analysis, format: pb.GraphFormat.ValueType) -> pb.AnalyzeRulesResponse:
    """Returns an analysis as the API shows it, as much of it as one answer holds.

    Args:
        analysis: The analysis.
        format: How the graph is also written as text.
    """
    diagram = _WRITERS[format](analysis.graph) if format in _WRITERS else ""
    found: dict[str, list[Any]] = {
        "cycles": [_cycle_pb(cycle) for cycle in analysis.cycles],
        "unreachable_rules": list(analysis.unreachable),
        "unhandled_event_types": list(analysis.unhandled),
        "nodes": [_node_pb(node) for node in analysis.graph.nodes],
        "edges": [_edge_pb(edge) for edge in analysis.graph.edges],
    }
    parts = [(name, item) for name, items in found.items() for item in items[: _LIMITS.get(name)]]
    kept = parts[: fitting([len(diagram.encode()), *map(_size, (item for _, item in parts))]) - 1]
    whole = len(kept) == sum(map(len, found.values()))
    answer = pb.AnalyzeRulesResponse(diagram=diagram, truncated=analysis.truncated or not whole)
    for name, item in kept:
        getattr(answer, name).append(item)
    return answer


def _node_pb(node: Node) -> pb.GraphNode:
    return pb.GraphNode(
        id=_cut(node.id, _MAX_ID_BYTES),
        kind=int(node.kind),  # type: ignore[arg-type]
        external=node.external,
        enabled=node.enabled,
    )


def _edge_pb(edge: Edge) -> pb.GraphEdge:
    return pb.GraphEdge(
        source=_cut(edge.source, _MAX_ID_BYTES),
        target=_cut(edge.target, _MAX_ID_BYTES),
        kind=int(edge.kind),  # type: ignore[arg-type]
        label=_cut(edge.label, _MAX_LABEL_BYTES),
        certain=edge.certain,
        conditional=edge.conditional,
    )


def _cycle_pb(cycle: Cycle) -> pb.GraphCycle:
    nodes = [_cut(id_, _MAX_ID_BYTES) for id_ in cycle.nodes]
    return pb.GraphCycle(nodes=nodes, certain=cycle.certain, conditional=cycle.conditional)


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


def _size(item: Any) -> int:
    return len(item.encode()) if isinstance(item, str) else item.ByteSize()
