"""AnalyzeRules over the wire: stored rules, drafts, and the types of stored events."""

from typing import Any

import pytest
from google.protobuf import json_format
from sutler.errors import Invalid
from sutler.rule.v1 import rule_pb2 as pb

from tests.integration.rule.conftest import Tenant, emit, event, on_both, rule

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def analyze(t: Tenant, **fields: Any) -> pb.AnalyzeRulesResponse:
    return await t.s.rules.AnalyzeRules(pb.AnalyzeRulesRequest(**fields))


@on_both
async def test_stored_rules_and_the_types_of_stored_events_are_joined(t: Tenant) -> None:
    await t.rule("ping", on=["ping"], actions=[emit("pong")])
    await t.rule("pong", on=["pong"], when=["payload.n > 3"], actions=[emit("ping")])
    await t.rule("lost", on=["nobody.sends.this"], actions=[emit("unheard")], priority=7)
    await t.publish(event(type="ping"), event(type="order.new"), wait=True)
    found = await analyze(t, format=pb.GRAPH_FORMAT_MERMAID)
    (cycle,) = found.cycles
    assert list(cycle.nodes) == ["rules/ping", "pong", "rules/pong", "ping"]
    assert (cycle.certain, cycle.conditional) == (True, True)
    assert list(found.unreachable_rules) == ["rules/lost"]
    assert set(found.unhandled_event_types) == {"order.new", "unheard"}
    kinds = {node.id: (node.kind, node.external, node.enabled) for node in found.nodes}
    assert kinds["ping"] == (pb.GraphNode.KIND_EVENT_TYPE, True, False)
    assert kinds["pong"] == (pb.GraphNode.KIND_EVENT_TYPE, False, False)
    assert kinds["rules/ping"] == (pb.GraphNode.KIND_RULE, False, True)
    assert found.diagram.startswith("flowchart LR")
    assert not found.truncated
    some = await analyze(t, filter="priority = 7", event_types=["nobody.sends.this"], format=pb.GRAPH_FORMAT_DOT)
    assert [node.id for node in some.nodes if node.kind == pb.GraphNode.KIND_RULE] == ["rules/lost"]
    assert not some.unreachable_rules
    assert some.diagram.startswith("digraph")


@on_both
async def test_drafts_take_the_places_of_stored_rules_and_change_nothing(t: Tenant) -> None:
    await t.rule("a", on=["a"], actions=[emit("b")])
    drafts = [
        rule(name="rules/A", on=["a"], actions=[emit("a")]),
        rule(name="rules/new", on=["c"], actions=[emit("d")], enabled=False),
    ]
    found = await analyze(t, drafts=drafts, event_types=["a"])
    assert [list(cycle.nodes) for cycle in found.cycles] == [["rules/A", "a"]]
    assert list(found.unreachable_rules) == ["rules/new"]
    assert not (await analyze(t, event_types=["a"])).cycles
    assert len((await t.s.rules.ListRules(pb.ListRulesRequest())).rules) == 1


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"filter": "nonsense = 1"}, "FILTER_INVALID", "filter"),
    ({"event_types": ["a b"]}, "FIELD_INVALID", "event_types[0]"),
    (
        {"drafts": [{"name": "rules/r", "on": ["***"], "actions": [emit("b")]}]},
        "PATTERN_INVALID",
        "drafts[0].on[0]",
    ),
    (
        {"drafts": [{"name": "rules/r", "on": ["a"], "when": ["nobody"], "actions": [emit("b")]}]},
        "EXPRESSION_INVALID",
        "drafts[0].when[0]",
    ),
    (
        {
            "drafts": [
                {"name": "rules/r", "on": ["a"], "actions": [emit("b")]},
                {"name": "rules/R", "on": ["a"], "actions": [emit("b")]},
            ]
        },
        "FIELD_INVALID",
        "drafts[1].name",
    ),
]


@pytest.mark.parametrize(("fields", "reason", "field"), BAD)
async def test_what_is_wrong_is_refused_with_its_place(
    t: Tenant, fields: dict[str, Any], reason: str, field: str
) -> None:
    with pytest.raises(Invalid) as raised:
        await t.s.rules.AnalyzeRules(json_format.ParseDict(fields, pb.AnalyzeRulesRequest()))
    assert (raised.value.reason, raised.value.violations[0].field) == (reason, field)
