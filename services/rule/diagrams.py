"""Writes the graph of the rules as text: a Mermaid flowchart, or DOT for Graphviz."""

from __future__ import annotations

from services.rule.graphs import Edge, EdgeKind, Graph, Node, NodeKind

MAX_BYTES = 1 << 20


def mermaid(graph: Graph) -> str:
    """Returns a Mermaid flowchart; what is not certain is dotted. Empty if it would be over 1 MiB."""
    places = {node.id: f"n{index}" for index, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        opening, closing = ("[", "]") if node.kind is NodeKind.RULE else ("([", "])")
        lines.append(f'  {places[node.id]}{opening}"{_entities(_title(node))}"{closing}')
    for edge in graph.edges:
        arrow = "-->" if edge.certain else "-.->"
        lines.append(f'  {places[edge.source]} {arrow}|"{_entities(_label(edge))}"| {places[edge.target]}')
    return _bounded(lines)


def dot(graph: Graph) -> str:
    """Returns the graph in the DOT language; what is not certain is dashed. Empty if it would be over 1 MiB."""
    lines = ["digraph rules {", "  rankdir=LR;"]
    for node in graph.nodes:
        shape = "box" if node.kind is NodeKind.RULE else "ellipse"
        lines.append(f"  {_quoted(node.id)} [shape={shape}, label={_quoted(_title(node))}];")
    for edge in graph.edges:
        style = "solid" if edge.certain else "dashed"
        ends = f"{_quoted(edge.source)} -> {_quoted(edge.target)}"
        lines.append(f"  {ends} [label={_quoted(_label(edge))}, style={style}];")
    return _bounded([*lines, "}"])


def _title(node: Node) -> str:
    return f"{node.id} (disabled)" if node.kind is NodeKind.RULE and not node.enabled else node.id


def _label(edge: Edge) -> str:
    conditional = edge.conditional and edge.kind is EdgeKind.FIRES
    return f"{edge.label}, if" if conditional else edge.label


def _entities(text: str) -> str:
    """Returns a text for a quoted label of Mermaid, which knows characters by number."""
    return "".join(c if c.isalnum() or c in " ._-/*,()$" else f"#{ord(c)};" for c in text)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _bounded(lines: list[str]) -> str:
    text = "\n".join(lines) + "\n"
    return text if len(text.encode()) <= MAX_BYTES else ""
