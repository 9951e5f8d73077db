"""The engine: conditions, actions, order, cascades, time."""

import asyncio
from typing import Any

import pytest
from google.protobuf import json_format
from sutler.errors import NotFound
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status

from tests.integration.rule.conftest import Tenant, create, emit, event, eventually, on_all

pytestmark = pytest.mark.asyncio(loop_scope="session")


def outcomes(execution: pb.Execution) -> list[str]:
    return [pb.ConditionResult.Outcome.Name(c.outcome).removeprefix("OUTCOME_") for c in execution.conditions]


def put(property: str, value: Any = None, **fields: Any) -> dict[str, Any]:
    source = {"expression": fields.pop("expression")} if "expression" in fields else {"value": value}
    return {"setProperty": {"property": property, **source, **fields}}


async def calls(t: Tenant, count: int) -> None:
    async def check() -> bool:
        return len(t.script.calls) >= count

    await eventually(check)


async def test_conditions_are_told_with_the_values_that_they_saw(t: Tenant) -> None:
    await t.rule("r", on=["a"], when=["payload.total > 100", "payload.kind == 'x'", "true"], actions=[emit("b")])
    yes, no = await t.publish(*(event(type="a", data={"total": 120, "kind": kind}) for kind in ("x", "y")))
    (fired,) = (await t.cascade(yes.event)).executions
    assert (fired.state, outcomes(fired)) == (pb.Execution.STATE_SUCCEEDED, ["TRUE", "TRUE", "TRUE"])
    assert json_format.MessageToDict(fired.conditions[0].inputs) == {"payload.total": 120.0}
    (skipped,) = (await t.cascade(no.event)).executions
    assert (skipped.state, outcomes(skipped)) == (pb.Execution.STATE_SKIPPED, ["TRUE", "FALSE", "NOT_EVALUATED"])
    assert [pb.ActionResult.State.Name(a.state) for a in skipped.actions] == ["STATE_PENDING"]
    assert not skipped.HasField("last_error")
    cascade = await t.cascade(no.event)
    assert (cascade.complete, cascade.state, cascade.event_count) == (True, pb.Cascade.STATE_SUCCEEDED, 1)


@on_all
async def test_a_condition_that_gives_an_error_is_not_a_silent_false(t: Tenant) -> None:
    await t.rule("r", on=["a"], when=["payload.missing > 1", "true"], actions=[emit("b")])
    (result,) = await t.publish(event(type="a", subject="s/1", data={"x": 1}))
    failed = await t.execution("r")
    assert (failed.state, outcomes(failed)) == (pb.Execution.STATE_FAILED, ["ERROR", "NOT_EVALUATED"])
    error = from_status(failed.last_error)
    assert (error.code.name, error.reason) == ("FAILED_PRECONDITION", "EXPRESSION_FAILED")
    assert error.metadata["field"] == "when[0]"
    assert failed.attempts == 1
    (letter,) = await t.letters()
    assert (letter.name, letter.cause) == (failed.dead_letter, pb.DeadLetter.CAUSE_NOT_RETRYABLE)
    cascade = await t.cascade(result.event)
    told = cascade.events[1]
    assert (told.type, told.subject, told.parent_execution) == ("error.handler_failed", "s/1", failed.name)
    data = json_format.MessageToDict(told.data)
    assert data["dead_letter"] == letter.name
    assert data["original_event"]["name"] == result.event
    assert data["error"]["reason"] == "EXPRESSION_FAILED"


async def test_a_failing_error_handler_does_not_fire_itself(t: Tenant) -> None:
    await t.rule("bad", on=["a"], when=["payload.missing"], actions=[emit("b")])
    await t.rule("handler", on=["error.*"], when=["payload.missing"], actions=[emit("b")])
    (result,) = await t.publish(event(type="a", data={}))
    cascade = await t.cascade(result.event)
    assert [e.type for e in cascade.events] == ["order.confirmed" if False else "a", "error.handler_failed"]
    assert len(cascade.executions) == 2
    assert len(await t.letters()) == 2


async def test_one_failing_rule_does_not_stop_the_others(t: Tenant) -> None:
    await t.rule("bad", on=["a"], when=["payload.missing"], actions=[emit("b")], priority=9)
    await t.rule("good", on=["a"], actions=[emit("good")])
    await t.publish(event(type="a", subject="s"))
    assert len(await t.events('type = "good"')) == 1


async def test_patterns_decide_who_fires(t: Tenant) -> None:
    rules = {
        "seg": ["order.*"],
        "all": ["order.**"],
        "exact": ["order.line.added"],
        "tail": ["**.added"],
        "two": ["x", "order.*.added"],
    }
    for name, on in rules.items():
        await t.rule(name, on=on, actions=[emit("z")])
    await t.rule("sub", on=["order.**"], subject="order/*", actions=[emit("z")])
    await t.rule("deep", on=["order.**"], subject="order/**", actions=[emit("z")])
    (result,) = await t.publish(event(type="order.line.added", subject="order/1/2"))
    fired = {x.rule.removeprefix("rules/") for x in (await t.cascade(result.event)).executions}
    assert fired == {"all", "exact", "tail", "two", "deep"}


async def test_rules_with_higher_priority_begin_first(t: Tenant) -> None:
    for priority in (0, 5, -5, 10):
        await t.rule(f"p{priority + 5}", on=["a"], actions=[emit("b")], priority=priority)
    (result,) = await t.publish(event(type="a", subject="s"))
    executions = (await t.cascade(result.event)).executions
    assert [x.rule for x in executions] == ["rules/p15", "rules/p10", "rules/p5", "rules/p0"]


@on_all
async def test_properties_are_set_changed_and_removed(t: Tenant) -> None:
    await t.rule(
        "r",
        on=["a"],
        actions=[
            put("text", "n-${payload.n}-${event.type}"),
            put("value", {"deep": ["${payload.n}", "$${x}"]}),
            put("count", expression="old == null ? 1 : old + 1"),
            put("seen", "${subject.properties.count}"),
            {"setExtProperty": {"property": "e", "value": "${payload.n}"}},
            put("other", True, subject="log/${payload.n}"),
        ],
    )
    await t.rule(
        "d", on=["b"], actions=[{"deleteProperty": {"property": "text"}}, {"deleteProperty": {"property": "no"}}]
    )
    (first,) = await t.publish(event(type="a", subject="s/1", data={"n": 7}))
    await t.publish(event(type="a", subject="s/1", data={"n": 7}))
    (third,) = await t.publish(event(type="b", subject="s/1"))
    assert await t.subject("s/1") == {"value": {"deep": [7.0, "${x}"]}, "count": 2.0, "seen": 2.0}
    assert await t.subject("log/7") == {"other": True}
    stored = await t.s.rules.GetSubject(pb.GetSubjectRequest(name="subjects/s/1"))
    assert (stored.revision, dict(stored.ext_properties)) == (3, {"e": 7.0})
    told = [(e.type, e.subject, json_format.MessageToDict(e.data)) for e in (await t.cascade(first.event)).events[1:]]
    assert told[0] == ("subject.property.changed", "s/1", {"property": "text", "new_value": "n-7-a", "revision": 1.0})
    assert [data["property"] for _, _, data in told] == ["text", "value", "count", "seen", "other"]
    (removed,) = (await t.cascade(third.event)).events[1:]
    assert (removed.type, removed.source) == ("subject.property.deleted", "//rule.sutler.dev")
    assert json_format.MessageToDict(removed.data) == {"property": "text", "old_value": "n-7-a", "revision": 3.0}
    (execution,) = (await t.cascade(third.event)).executions
    assert [len(action.changes) for action in execution.actions] == [1, 0]
    assert execution.actions[0].changes[0].event == removed.name
    changes = await t.events('type = "subject.property.changed"')
    assert len(changes) == 7  # the second event changes count and seen only


@on_all
async def test_a_failing_expression_leaves_nothing_behind(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[put("x", 1), emit("never"), put("y", expression="old + payload.nope")])
    (result,) = await t.publish(event(type="a", subject="s", data={}))
    failed = await t.execution("r")
    assert from_status(failed.last_error).reason == "EXPRESSION_FAILED"
    assert [pb.ActionResult.State.Name(a.state)[6:] for a in failed.actions] == ["SUCCEEDED", "SUCCEEDED", "FAILED"]
    with pytest.raises(NotFound):
        await t.subject("s")
    assert [e.type for e in (await t.cascade(result.event)).events] == ["a", "error.handler_failed"]


async def test_an_action_without_a_subject_fails(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[put("x", 1)])
    await t.publish(event(type="a"))
    failed = await t.execution("r")
    assert from_status(failed.last_error).reason == "SUBJECT_MISSING"


@on_all
async def test_emitted_events_belong_to_the_cascade(t: Tenant) -> None:
    body = {"data": {"t": "${payload.t}"}, "extensions": {"own": "${event.id}"}, "extra": {"k": "${extra.k}"}}
    await t.rule("one", on=["a"], actions=[emit("b.${payload.t}", **body), emit("c", subject="")])
    await t.rule("two", on=["b.*"], actions=[emit("d", source="/me", subject="other")])
    sent = event(
        "1", "a", "s", data={"t": "x"}, extensions={"correlationid": "c-9", "traceparent": "00-a"}, extra={"k": 1}
    )
    (result,) = await t.publish(sent)
    cascade = await t.cascade(result.event)
    assert [(e.type, e.depth) for e in cascade.events] == [("a", 0), ("b.x", 1), ("c", 1), ("d", 2)]
    b, c, d = cascade.events[1:]
    assert dict(b.extensions) == {"correlationid": "c-9", "traceparent": "00-a", "own": "1"}
    assert (b.subject, c.subject, d.subject) == ("s", "", "other")
    assert (b.source, d.source) == ("//rule.sutler.dev/rules/one", "/me")
    assert json_format.MessageToDict(b.extra) == {"k": 1.0}
    assert {e.correlation_id for e in cascade.events} == {"c-9"}
    assert {e.root_event for e in cascade.events} == {result.event}
    assert (cascade.state, cascade.event_count, cascade.execution_count) == (pb.Cascade.STATE_SUCCEEDED, 4, 2)
    part = await t.cascade(b.name)
    assert [e.type for e in part.events] == ["b.x", "d"]
    assert [x.rule for x in part.executions] == ["rules/two"]


async def test_a_circle_of_rules_ends_at_the_depth_limit(t: Tenant) -> None:
    await t.rule("loop", on=["loop"], actions=[emit("loop")])
    (result,) = await t.publish(event(type="loop"))
    cascade = await t.cascade(result.event)
    assert max(e.depth for e in cascade.events) == 32
    (letter,) = await t.letters()
    assert letter.cause == pb.DeadLetter.CAUSE_CASCADE_TOO_DEEP
    error = from_status(letter.error)
    assert (error.reason, error.metadata["root_event"]) == ("CASCADE_TOO_DEEP", result.event)


@on_all
async def test_events_of_one_rule_and_subject_are_handled_one_after_another(t: Tenant) -> None:
    t.script.gate.clear()
    await t.rule("r", on=["a"], actions=[create("n${payload.n}")])
    one = [event(type="a", subject="one", data={"n": n}) for n in range(4)]
    other = [event(type="a", subject=f"s/{n}", data={"n": 10 + n}) for n in range(3)]
    none = [event(type="a", data={"n": 20 + n}) for n in range(3)]
    await t.publish(*one, *other, *none, wait=False)
    await calls(t, 7)
    waiting = await t.executions("state = PENDING")
    assert len(waiting) == 3
    assert sorted(t.script.ids) == ["n0", "n10", "n11", "n12", "n20", "n21", "n22"]
    t.script.gate.set()
    await calls(t, 10)
    assert [i for i in t.script.ids if len(i) == 2] == ["n0", "n1", "n2", "n3"]


@on_all
async def test_a_delay_waits_without_holding_anything_but_its_turn(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[put("before", 1), {"delay": {"duration": "0.4s"}}, emit("after.${payload.n}")])
    await t.publish(
        event(type="a", subject="s", data={"n": 1}), event(type="a", subject="s", data={"n": 2}), wait=False
    )
    waiting = await t.in_state("r", "WAITING")
    assert [pb.ActionResult.State.Name(a.state)[6:] for a in waiting.actions] == ["SUCCEEDED", "WAITING", "PENDING"]
    assert waiting.next_attempt_time == waiting.actions[1].wait_end_time
    with pytest.raises(NotFound):
        await t.subject("s")
    await eventually(lambda: t.events('type = "after.2"'))
    first, second = await t.executions(order_by="create_time, name")
    first, second = sorted((first, second), key=lambda x: x.start_time.ToNanoseconds())
    assert second.start_time.ToNanoseconds() >= first.end_time.ToNanoseconds()
    assert first.end_time.ToNanoseconds() - first.start_time.ToNanoseconds() >= 400_000_000
    assert first.attempts == first.deferrals == 0


async def test_a_delay_until_a_time(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[{"delay": {"expression": "event.time + duration('0.3s')"}}, emit("late")])
    await t.rule("bad", on=["b"], actions=[{"delay": {"expression": "payload.x"}}])
    await t.publish(event(type="a"), event(type="b", data={"x": "soon"}), wait=False)
    (late,) = await eventually(lambda: t.events('type = "late"'))
    failed = await t.in_state("bad", "FAILED")
    assert from_status(failed.last_error).reason == "EXPRESSION_FAILED"
    begun = (await t.events('type = "a"'))[0]
    assert late.create_time.ToNanoseconds() - begun.create_time.ToNanoseconds() >= 300_000_000


async def test_an_emitted_event_can_be_delayed(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[emit("b", delay="0.3s")])
    await t.rule("s", on=["b"], actions=[emit("c")])
    (result,) = await t.publish(event(type="a"))
    assert result.complete
    cascade = await t.cascade(result.event)
    assert [e.type for e in cascade.events] == ["a", "b", "c"]
    assert cascade.events[2].create_time.ToNanoseconds() >= cascade.events[1].deliver_time.ToNanoseconds()


async def test_changes_of_subjects_fire_rules(t: Tenant) -> None:
    await t.rule("w", on=["a"], actions=[put("state", "${payload.state}")])
    await t.rule(
        "c",
        on=["subject.property.changed"],
        when=["payload.property == 'state'", "old_value == 'open' && new_value == 'closed'"],
        actions=[emit("closed.${event.subject}")],
    )
    for state in ("open", "open", "closed"):
        await t.publish(event(type="a", subject="s", data={"state": state}))
    assert [e.type for e in await t.events('type = "closed*"')] == ["closed.s"]
    assert len(await t.executions('rule = "rules/c"')) == 2


async def test_many_events_at_once_all_count(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[put("n", expression="old == null ? 1 : old + 1", muted=True)])
    batches = [[event(type="a", subject=f"s/{i % 4}") for i in range(40)] for _ in range(5)]
    await asyncio.gather(*(t.publish(*batch) for batch in batches))
    assert [(await t.subject(f"s/{i}"))["n"] for i in range(4)] == [50.0] * 4
