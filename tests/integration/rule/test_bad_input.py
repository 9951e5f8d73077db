"""What is bad in what comes in, and very much of it: nothing is lost, nothing is in silence, the rest goes on."""

import itertools

import pytest
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status
from sutler.testing import wait_until
from sutler.wire import from_value

from tests.integration.rule.conftest import Tenant, emit, event, on_both

pytestmark = pytest.mark.asyncio(loop_scope="session")

MIB = 1 << 20


async def test_a_rule_that_loops_through_three_others_ends_with_a_named_error(t: Tenant) -> None:
    ways = ["a", "b", "c", "d", "a"]
    for begin, end in itertools.pairwise(ways):
        await t.rule(f"{begin}-{end}", on=[begin], actions=[emit(end)])
    await t.rule("other", on=["a"], actions=[emit("told")])
    (result,) = await t.publish(event(type="a", subject="s/1"))
    assert (result.complete, result.cascade_state) == (True, pb.Cascade.STATE_FAILED)
    cascade = await t.cascade(result.event)
    rounds = sorted((e for e in cascade.events if e.type in ways), key=lambda e: e.depth)
    assert [(e.depth, e.type) for e in rounds] == [(depth, ways[depth % 4]) for depth in range(33)]
    assert sum(e.type == "told" for e in cascade.events) == sum(e.type == "a" for e in rounds) - 1
    letters = await t.letters()
    assert {letter.cause for letter in letters} == {pb.DeadLetter.CAUSE_CASCADE_TOO_DEEP}
    assert {letter.rule for letter in letters} == {"rules/a-b", "rules/other"}
    assert {from_status(letter.error).metadata["root_event"] for letter in letters} == {result.event}


async def test_an_expression_that_errors_on_some_events_fails_for_those_alone(t: Tenant) -> None:
    await t.rule("large", on=["a"], when=["payload.total > 10"], actions=[emit("large")])
    totals = [20, "many", 5, None, 30]
    results = await t.publish(*(event(type="a", subject="s/1", data={"total": each}) for each in totals))
    found = [(await t.cascade(result.event)).executions[0] for result in results]
    assert [pb.Execution.State.Name(each.state)[6:] for each in found] == [
        "SUCCEEDED", "FAILED", "SKIPPED", "FAILED", "SUCCEEDED",
    ]  # fmt: skip
    assert [from_status(each.last_error).reason for each in (found[1], found[3])] == ["EXPRESSION_FAILED"] * 2
    assert [from_value(each.conditions[0].inputs.fields["payload.total"]) for each in (found[1], found[3])] == [
        "many", None,
    ]  # fmt: skip
    assert len(await t.letters()) == 2


@on_both
async def test_data_of_a_mib_go_through_whole_and_more_is_refused(t: Tenant) -> None:
    full = "x" * (MIB - 8)
    await t.rule("pass", on=["a"], actions=[emit("b", data="${payload}")])
    await t.rule("double", on=["a"], actions=[emit("c", data="${payload}${payload}")])
    (refused,) = await t.publish(event(type="a", data=full + "y" * 16))
    violation = from_status(refused.status).violations[0]
    assert (refused.event, violation.field) == ("", "data")
    (accepted,) = await t.publish(event(type="a", subject="s", data=full))
    told = {each.type: each for each in (await t.cascade(accepted.event)).events}
    assert sorted(told) == ["a", "b", "error.handler_failed"]
    assert told["a"].data.string_value == told["b"].data.string_value == full
    assert from_status((await t.execution("double")).last_error).reason == "TOO_LARGE"
    assert [letter.rule for letter in await t.letters()] == ["rules/double"]


@pytest.mark.parametrize("count", [1000, pytest.param(10_000, marks=(pytest.mark.crash, pytest.mark.timeout(600)))])
async def test_very_many_events_of_one_subject_are_done_in_order(t: Tenant, count: int) -> None:
    follows = "(old == null ? -1 : old) == payload.n - 1 ? payload.n : old"
    await t.rule("r", on=["a"], actions=[{"setProperty": {"property": "n", "expression": follows, "muted": True}}])
    for first in range(0, count, 500):
        await t.publish(*(event(f"{n}", "a", "s", {"n": n}) for n in range(first, first + 500)), wait=False)
    (last,) = await t.events(f'id = "{count - 1}"')

    async def done() -> bool:
        return (await t.s.rules.GetEvent(pb.GetEventRequest(name=last.name))).HasField("end_time")

    await wait_until(done, 300)
    assert await t.subject("s") == {"n": count - 1}
