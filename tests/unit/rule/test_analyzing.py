"""The graph of rules: what it joins, what is wrong with it, and how it is written."""

from typing import Any

from services.rule.analyzing import MAX_CYCLES, analyze
from services.rule.definitions import Action, Definition, EmitEvent, SetProperty
from services.rule.diagrams import dot, mermaid
from services.rule.graphs import EdgeKind
from services.rule.rules import Rule


def rule(id: str, on: str, *emits: str, sets: str = "", enabled: bool = True, **fields: Any) -> Rule:
    actions = [Action("", EmitEvent(type_)) for type_ in emits]
    actions += [Action("", SetProperty(sets, value=1))] if sets else []
    return Rule(f"rules/{id}", "t", id, Definition((on,), tuple(actions), **fields), enabled=enabled, active=1)


def test_a_cycle_is_told_with_its_way_and_whether_something_may_end_it() -> None:
    rules = [rule("a", "x", "y"), rule("b", "y", "z"), rule("c", "z", "x", when=("payload.n < 3",)), rule("d", "x")]
    (cycle,) = analyze(rules, ["x"]).cycles
    assert cycle.nodes == ["rules/a", "y", "rules/b", "z", "rules/c", "x"]
    assert (cycle.certain, cycle.conditional) == (True, True)
    assert not analyze([*rules[:2], rule("c", "z", "x", enabled=False)], ["x"]).cycles


def test_a_rule_that_changes_what_it_waits_for_is_a_cycle() -> None:
    (cycle,) = analyze([rule("a", "subject.property.*", sets="n")], []).cycles
    assert cycle.nodes == ["rules/a", "subject.property.changed"]
    assert not cycle.conditional


def test_a_type_that_a_template_gives_joins_what_it_may_match_and_is_not_certain() -> None:
    rules = [rule("a", "x", "order.${payload.kind}"), rule("b", "order.*", "x"), rule("c", "shipment.*")]
    analysis = analyze(rules, ["x"])
    fired = {edge.target: edge for edge in analysis.graph.edges if edge.source == "order.${payload.kind}"}
    assert (list(fired), fired["rules/b"].certain) == (["rules/b"], False)
    assert [cycle.certain for cycle in analysis.cycles] == [False]
    assert analysis.unreachable == ["rules/c"]


def test_reachable_is_what_a_way_from_outside_leads_to() -> None:
    rules = [
        rule("first", "x", "y"),
        rule("second", "y"),
        rule("island", "z", "z"),
        rule("behind-it", "z"),
        rule("off", "x", "w", enabled=False),
        rule("behind-off", "w"),
        rule("own", "error.*"),
    ]
    assert analyze(rules, ["x"]).unreachable == ["rules/island", "rules/behind-it", "rules/behind-off"]


def test_a_type_is_unhandled_that_no_enabled_rule_matches() -> None:
    rules = [rule("a", "x", "y", "${payload.t}"), rule("b", "y", enabled=False)]
    assert analyze(rules, ["x", "q"]).unhandled == ["q", "y"]


def test_edges_tell_what_they_mean() -> None:
    analysis = analyze([rule("a", "x*", "y", sets="n", subject="order/*")], ["x1"])
    told = {(edge.kind, edge.source, edge.target, edge.label, edge.conditional) for edge in analysis.graph.edges}
    assert told == {
        (EdgeKind.FIRES, "x1", "rules/a", "x*", True),
        (EdgeKind.EMITS, "rules/a", "y", "action_1", True),
        (EdgeKind.CHANGES, "rules/a", "subject.property.changed", "n", True),
    }


def test_very_many_cycles_are_cut() -> None:
    rules = [rule(f"r{i}", f"t{i}", *(f"t{j}" for j in range(12))) for i in range(12)]
    analysis = analyze(rules, ["t0"])
    assert (len(analysis.cycles), analysis.truncated) == (MAX_CYCLES, True)


def test_diagrams_quote_what_would_break_them() -> None:
    graph = analyze([rule("a", "x", 'y"]\\', enabled=False), rule("b", "${")], ["x"]).graph
    chart = mermaid(graph)
    assert chart.startswith("flowchart LR\n")
    assert '(["y#34;#93;#92;"])' in chart
    assert '["rules/a (disabled)"]' in chart
    text = dot(graph)
    assert '"y\\"]\\\\" [shape=ellipse' in text
    assert text.count("{") - text.count("}") == text.count("${") == 0
