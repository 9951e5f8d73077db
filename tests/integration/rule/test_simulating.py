"""SimulateEvent: what would fire, what would not and why, and that nothing happens."""

from typing import Any

import pytest
from google.protobuf import json_format
from sutler.client import connect
from sutler.errors import Invalid, NotFound, SutlerError
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status

from tests.integration.rule.conftest import Tenant, create, emit, event, eventually, on_both, rule, token

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def simulate(t: Tenant, given: pb.Event, *, drafts: Any = (), **fields: Any) -> pb.SimulateEventResponse:
    request = pb.SimulateEventRequest(event=given, drafts=[rule(**draft) for draft in drafts], **fields)
    return await t.s.rules.SimulateEvent(request)


def told(answer: pb.SimulateEventResponse) -> dict[str, str]:
    names = pb.RuleSimulation.Obstacle
    return {s.rule.removeprefix("rules/"): names.Name(s.obstacle).removeprefix("OBSTACLE_") for s in answer.simulations}


def resolved(action: pb.SimulatedAction) -> Any:
    (value,) = (v for k, v in json_format.MessageToDict(action.resolved).items() if k != "id")
    return value


async def traces(t: Tenant) -> tuple[int, int, int]:
    subjects = await t.s.rules.ListSubjects(pb.ListSubjectsRequest())
    return len(await t.events()), len(await t.executions()), len(subjects.subjects)


@on_both
async def test_each_rule_says_what_it_would_do_or_what_stops_it_and_nothing_happens(t: Tenant) -> None:
    on = {"on": ["order.*"]}
    await t.rule("fires", **on, actions=[emit("x", data={"n": "${payload.n + 1}"}), create("c")], priority=5)
    await t.rule("small", **on, when=["true", "payload.n > 100", "true"], actions=[emit("x")])
    await t.rule("broken", **on, when=["payload.missing > 1"], actions=[emit("x")])
    await t.rule("off", **on, when=["payload.n == 1"], actions=[emit("x")], enabled=False)
    await t.rule("elsewhere", **on, subject="customer/*", actions=[emit("x")])
    await t.rule("other", on=["shipment.*"], actions=[emit("x")])
    before = await traces(t)
    answer = await simulate(t, event(type="order.new", subject="order/1", data={"n": 1}))
    assert told(answer) == {
        "fires": "UNSPECIFIED",
        "small": "CONDITION",
        "broken": "ERROR",
        "off": "DISABLED",
        "elsewhere": "SUBJECT",
    }
    by_rule = {s.rule.removeprefix("rules/"): s for s in answer.simulations}
    assert answer.simulations[0].rule == "rules/fires"
    assert [s.fires for s in answer.simulations] == [True, False, False, False, False]
    false = by_rule["small"].conditions[1]
    assert (false.expression, false.outcome) == ("payload.n > 100", pb.ConditionResult.OUTCOME_FALSE)
    assert json_format.MessageToDict(false.inputs) == {"payload.n": 1.0}
    assert by_rule["small"].conditions[2].outcome == pb.ConditionResult.OUTCOME_NOT_EVALUATED
    assert from_status(by_rule["broken"].conditions[0].error).reason == "EXPRESSION_FAILED"
    assert by_rule["off"].conditions[0].outcome == pb.ConditionResult.OUTCOME_TRUE
    first, second = by_rule["fires"].actions
    assert (first.kind, resolved(first)["event"]["data"]) == ("emit_event", {"n": 2.0})
    assert (second.kind, resolved(second)["request"]["resourceId"]) == ("call_method", "c")
    assert [e.type for e in answer.events] == ["order.new", "x", "error.handler_failed"]
    assert not any(e.name or e.state for e in answer.events)
    assert not answer.truncated
    assert await traces(t) == before
    assert t.script.calls == []


@on_both
async def test_it_tells_what_would_really_happen(t: Tenant) -> None:
    put = {"setProperty": {"property": "n", "expression": "old == null ? 1 : old + 1"}}
    await t.rule("count", on=["a"], actions=[put, emit("b", data="${subject.properties}")])
    await t.rule("tell", on=["subject.property.changed"], when=["new_value > 1"], actions=[emit("grown")])
    await t.rule("last", on=["b", "grown"], actions=[{"setExtProperty": {"property": "e", "value": "${event.type}"}}])
    await t.publish(event(type="a", subject="s"))
    supposed = await simulate(t, event(id="second", type="a", subject="s"), max_depth=32)
    (result,) = await t.publish(event(id="second", type="a", subject="s"))
    cascade = await t.cascade(result.event)
    assert [(e.type, e.subject, e.depth) for e in supposed.events] == [
        (e.type, e.subject, e.depth) for e in sorted(cascade.events, key=lambda e: e.depth)
    ]
    data = {e.type: json_format.MessageToDict(e.data) for e in cascade.events if e.HasField("data")}
    assert {e.type: json_format.MessageToDict(e.data) for e in supposed.events if e.HasField("data")} == data
    fired = {x.rule for x in cascade.executions if x.state == pb.Execution.STATE_SUCCEEDED}
    assert {s.rule for s in supposed.simulations if s.fires} == fired
    (change, *_) = supposed.changes
    assert (change.subject, change.property, change.old_value.number_value, change.new_value.number_value) == (
        *("subjects/s", "n"),
        *(1, 2),
    )
    (counted,) = (s for s in supposed.simulations if s.rule == "rules/count")
    assert resolved(counted.actions[0])["value"] == 2
    shallow = await simulate(t, event(type="a", subject="s"))
    assert (len(shallow.simulations), len(shallow.events)) == (1, 3)


async def test_what_needs_the_answer_of_a_call_is_left_as_it_is(t: Tenant) -> None:
    actions = [
        {"id": "ask", **create("c")},
        emit("b", data={"known": "${payload.n}", "unknown": "got ${results.ask.name} for $${n}"}),
        {"setProperty": {"property": "p", "value": "${results.ask.name}"}},
        emit("c", data="${subject.properties.p}"),
        emit("d"),
    ]
    await t.rule("r", on=["a"], actions=actions)
    answer = await simulate(t, event(type="a", subject="s", data={"n": 1}), max_depth=1)
    (simulation,) = answer.simulations
    assert [action.uncertain for action in simulation.actions] == [False, True, True, True, False]
    data = resolved(simulation.actions[1])["event"]["data"]
    assert data == {"known": 1.0, "unknown": "got ${results.ask.name} for $${n}"}
    assert [e.type for e in answer.events] == ["a", "d"]
    assert not answer.changes


async def test_an_action_that_would_fail_says_why_and_nothing_of_its_rule_would_happen(t: Tenant) -> None:
    put = {"setProperty": {"property": "p", "value": 1}}
    await t.rule("r", on=["a"], actions=[put, emit("b"), emit("c", data="${payload.missing}"), emit("d")])
    await t.rule("lost", on=["a"], actions=[{"setProperty": {"property": "p", "expression": "old.x"}}])
    await t.rule("handler", on=["error.handler_failed"], actions=[emit("told", data="${payload.error.reason}")])
    answer = await simulate(t, event(type="a", subject="s", data={}), max_depth=1, rules=["rules/r", "rules/handler"])
    (first, handler, *_) = answer.simulations
    assert (first.rule, handler.rule) in (("rules/r", "rules/handler"), ("rules/handler", "rules/r"))
    (failed,) = (s for s in answer.simulations if s.rule == "rules/r")
    assert [bool(action.error.code) for action in failed.actions] == [False, False, True]
    assert from_status(failed.actions[2].error).metadata["field"] == "actions[2]"
    assert not answer.changes
    assert [e.type for e in answer.events] == ["a", "error.handler_failed", "told"]
    at_commit = await simulate(t, event(type="a", subject="s", data={}), rules=["rules/lost"])
    assert from_status(at_commit.simulations[0].actions[0].error).reason == "EXPRESSION_FAILED"


@on_both
async def test_drafts_and_a_supposed_subject_take_the_place_of_what_is_stored(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[emit("old")])
    await t.rule("s", on=["a"], when=["subject.properties.total > 10"], actions=[emit("b")])
    drafts = [
        {"name": "rules/R", "on": ["a"], "actions": [emit("new")]},
        {"name": "rules/added", "on": ["new"], "actions": [emit("newer")]},
    ]
    subject = json_format.ParseDict({"properties": {"total": 11}}, pb.Subject())
    answer = await simulate(t, event(type="a", subject="s/1"), drafts=drafts, subject=subject, max_depth=1)
    assert {s.rule for s in answer.simulations if s.fires} == {"rules/R", "rules/s", "rules/added"}
    assert {e.type for e in answer.events} == {"a", "b", "new", "newer"}
    without = await simulate(t, event(type="a", subject="s/1"))
    assert told(without) == {"r": "UNSPECIFIED", "s": "ERROR"}


async def test_a_draft_may_not_do_more_than_its_author(t: Tenant) -> None:
    granted = token(t.name, "rule.events.simulate", subject="user:ben")
    async with connect(t.server.address, token=granted) as s:
        draft = rule(name="rules/r", on=["a"], actions=[emit("b")])
        answer = await s.rules.SimulateEvent(pb.SimulateEventRequest(event=event(type="a"), drafts=[draft]))
    (action,) = answer.simulations[0].actions
    assert from_status(action.error).reason == "PERMISSION_MISSING"


@on_both
async def test_what_would_fire_later_says_for_what_it_waits(t: Tenant) -> None:
    wait = [{"delay": {"duration": "3600s"}}]
    await t.rule("slow", on=["a"], actions=wait)
    await t.publish(event(type="a", subject="s"), wait=False)
    await t.in_state("slow", "WAITING")
    answer = await simulate(t, event(type="a", subject="s"))
    assert told(answer) == {"slow": "ORDER"}
    assert told(await simulate(t, event(type="a", subject="other"))) == {"slow": "UNSPECIFIED"}

    t.script.always = lambda: Invalid("no")
    policy = {"breaker": {"maxFailures": 1}, "retry": {"maxAttempts": 1}}
    await t.rule("calls", on=["c"], actions=[create("c")], **policy)
    for _ in range(2):
        await t.publish(event(type="c", subject="s"))

    async def opened() -> bool:
        return told(await simulate(t, event(type="c", subject="s"))) == {"calls": "BREAKER"}

    await eventually(opened)


async def test_a_circle_ends_where_the_cascade_would(t: Tenant) -> None:
    await t.rule("ping", on=["ping"], actions=[emit("pong")])
    await t.rule("pong", on=["pong"], actions=[emit("ping")])
    answer = await simulate(t, event(type="ping"), max_depth=32)
    last = answer.simulations[-1]
    assert from_status(last.actions[0].error).reason == "CASCADE_TOO_DEEP"
    assert len(answer.events) == 33


async def test_an_avalanche_is_cut(t: Tenant) -> None:
    await t.rule("many", on=["a"], actions=[emit("a", data=i) for i in range(50)])
    answer = await simulate(t, event(type="a"), max_depth=32)
    assert answer.truncated
    assert len(answer.events) > 100
    assert answer.ByteSize() < 4 << 20
    large = await simulate(
        t,
        event(type="a", data="x" * 1_000_000),
        drafts=[{"name": "rules/many", "on": ["a"], "actions": [emit("a", data="${payload}") for _ in range(10)]}],
    )
    assert large.truncated
    assert large.ByteSize() < 4 << 20


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"event": {}}, "FIELD_INVALID", "event.type"),
    ({"event": {"type": "a b"}}, "FIELD_INVALID", "event.type"),
    ({"event": {"type": "a", "extensions": {"subject": "x"}}}, "FIELD_INVALID", "event.extensions['subject']"),
    ({"event": {"type": "a", "extra": {"x": "y" * 70_000}}}, "TOO_LARGE", "event.extra"),
    ({"event": {"type": "a"}, "subject": {"properties": {"a": 1}}}, "FIELD_INVALID", "subject.name"),
    ({"event": {"type": "a"}, "max_depth": 33}, "FIELD_INVALID", "max_depth"),
    ({"event": {"type": "a"}, "drafts": [{"on": ["a"]}]}, "FIELD_INVALID", "drafts[0].name"),
    (
        {"event": {"type": "a"}, "drafts": [{"name": "rules/r", "on": ["***"], "actions": [emit("b")]}]},
        "PATTERN_INVALID",
        "drafts[0].on[0]",
    ),
    (
        {"event": {"type": "a"}, "drafts": [{"name": "rules/r", "on": ["a"], "when": ["1 +"], "actions": [emit("b")]}]},
        "EXPRESSION_INVALID",
        "drafts[0].when[0]",
    ),
    (
        {"event": {"type": "a"}, "drafts": [{"name": "rules/r", "on": ["a"], "actions": [emit("${")]}]},
        "TEMPLATE_INVALID",
        "drafts[0].actions[0].emit_event.event.type",
    ),
    ({"event": {"type": "a"}, "drafts": [{"name": "rules/r", "on": ["a"]}]}, "FIELD_INVALID", "drafts[0].actions"),
]


@pytest.mark.parametrize(("request_", "reason", "field"), BAD)
async def test_what_is_wrong_is_refused_with_its_place(
    t: Tenant, request_: dict[str, Any], reason: str, field: str
) -> None:
    with pytest.raises(SutlerError) as raised:
        await t.s.rules.SimulateEvent(json_format.ParseDict(request_, pb.SimulateEventRequest()))
    assert (raised.value.code.name, raised.value.reason) == ("INVALID_ARGUMENT", reason)
    assert raised.value.violations[0].field == field


async def test_a_chosen_rule_must_exist_and_is_told_of_whatever_it_matches(t: Tenant) -> None:
    await t.rule("r", on=["b"], actions=[emit("c")])
    await t.rule("not-chosen", on=["a"], actions=[emit("c")])
    assert told(await simulate(t, event(type="a"), rules=["rules/r"])) == {"r": "TYPE"}
    with pytest.raises(NotFound) as raised:
        await simulate(t, event(type="a"), rules=["rules/none"])
    assert raised.value.resource == "rules/none"
