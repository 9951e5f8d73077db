"""ReplayEvents: stored events are given to chosen rules once more."""

import uuid
from typing import Any

import pytest
from google.longrunning import operations_pb2 as lro
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.errors import Invalid, NotFound
from sutler.rule.v1 import rule_pb2 as pb

from tests.integration.rule.conftest import Tenant, emit, event, on_both
from tests.integration.rule.test_purging import waited
from tests.integration.rule.test_replaying_letters import metadata

pytestmark = pytest.mark.asyncio(loop_scope="session")

APPEND = {"setProperty": {"property": "seen", "expression": "old == null ? [event.id] : old + [event.id]"}}


async def replay(t: Tenant, *rules: str, **fields: Any) -> lro.Operation:
    request = pb.ReplayEventsRequest(rules=[f"rules/{id}" for id in rules], **fields)
    return await t.s.rules.ReplayEvents(request)


def answer(operation: lro.Operation) -> tuple[int, int, int, int]:
    found = pb.ReplayEventsResponse()
    assert operation.done, operation
    assert operation.response.Unpack(found), operation
    return found.event_count, found.execution_count, found.skipped_count, found.failure_count


@on_both
async def test_chosen_rules_get_what_was_there_before_them_in_its_order(t: Tenant) -> None:
    await t.publish(*(event(id=f"e{i}", type="a", subject="s", data={"n": i}) for i in range(6)))
    await t.publish(event(type="b", subject="s", data={"n": 0}))
    await t.rule("late", on=["a"], when=["payload.n != 3"], actions=[APPEND], enabled=False)
    await t.rule("bad", on=["a"], when=["payload.missing"], actions=[emit("x")])
    await t.rule("other", on=["b"], actions=[emit("x")])
    planned = await replay(t, "late", "bad", "other", filter='type = "a"', validate_only=True)
    assert (planned.name, answer(planned)) == ("", (6, 0, 0, 0))
    steps = {step.target: step.count for step in metadata(planned).plan}
    assert steps == {"rules/late": 6, "rules/bad": 6, "rules/other": 0}
    assert not await t.executions()
    operation = await replay(t, "late", "bad", filter='type = "a"')
    assert answer(await waited(t, operation)) == (6, 12, 1, 6)
    assert (await t.subject("s"))["seen"] == ["e0", "e1", "e2", "e4", "e5"]
    assert not await t.executions('rule = "rules/other"')
    (replayed, *_) = await t.events('id = "e0"')
    cascade = await t.cascade(replayed.name)
    assert (cascade.complete, cascade.state) == (True, pb.Cascade.STATE_FAILED)


@on_both
async def test_each_replay_makes_new_executions_and_a_repeat_none(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[APPEND])
    await t.publish(event(id="e", type="a", subject="s"))
    id_ = str(uuid.uuid4())
    first = await replay(t, "r", filter='id = "e"', request_id=id_)
    assert answer(await waited(t, first)) == (1, 1, 0, 0)
    assert (await replay(t, "r", filter='id = "e"', request_id=id_)).name == first.name
    assert answer(await waited(t, await replay(t, "r", filter='id = "e"'))) == (1, 1, 0, 0)
    assert (await t.subject("s"))["seen"] == ["e", "e", "e"]
    assert len({execution.name for execution in await t.executions()}) == 3


async def test_a_range_of_time_bounds_what_is_replayed(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[APPEND])
    await t.publish(event(id="before", type="a", subject="s"))
    await t.publish(event(id="inside", type="a", subject="s"))
    await t.publish(event(id="after", type="a", subject="s"))
    await t.publish(event(id="scheduled", type="a", deliverTime="2027-05-01T00:00:00Z"), wait=False)
    (inside,) = await t.events('id = "inside"')
    (after,) = await t.events('id = "after"')
    planned = await replay(t, "r", start_time=inside.create_time, end_time=after.create_time, validate_only=True)
    assert answer(planned)[0] == 1
    assert answer(await replay(t, "r", start_time=inside.create_time, validate_only=True))[0] == 2


async def test_what_is_wrong_is_refused(t: Tenant) -> None:
    await t.rule("r", on=["a"], actions=[emit("x")])
    with pytest.raises(NotFound) as missing:
        await replay(t, "r", "none", filter='type = "a"')
    assert missing.value.resource == "rules/none"
    later, sooner = Timestamp(seconds=20), Timestamp(seconds=10)
    bad: list[tuple[tuple[str, ...], dict[str, Any], str]] = [
        (("r",), {}, "FIELD_INVALID"),
        ((), {"filter": 'type = "a"'}, "FIELD_INVALID"),
        (("r",), {"start_time": later, "end_time": sooner}, "FIELD_INVALID"),
        (("r",), {"filter": "nonsense = 1"}, "FILTER_INVALID"),
    ]
    for rules, fields, reason in bad:
        with pytest.raises(Invalid) as raised:
            await replay(t, *rules, **fields)
        assert raised.value.reason == reason
