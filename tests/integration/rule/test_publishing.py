"""Events: accepted durably, each with its own result, and never twice."""

import json
import uuid
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import json_format
from sutler.client import connect
from sutler.errors import Invalid, NotFound, PermissionDenied
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status

from tests.integration.rule.conftest import Tenant, emit, event, eventually, on_all, token

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_event_is_there_with_all_that_it_says(t: Tenant) -> None:
    sent = event(
        "1", subject="order/S1", data={"total": 120, "none": None}, extensions={"tracestate": "x"}, extra={"a": [1]}
    )
    (result,) = await t.publish(sent, wait=False)
    found = await t.s.rules.GetEvent(pb.GetEventRequest(name=result.event))
    assert (found.id, found.source, found.type, found.subject) == ("1", "/shop", "order.confirmed", "order/S1")
    assert json_format.MessageToDict(found.data) == {"total": 120.0, "none": None}
    assert dict(found.extensions) == {"tracestate": "x"}
    assert json_format.MessageToDict(found.extra) == {"a": [1.0]}
    assert found.state == pb.Event.STATE_SUCCEEDED
    assert found.root_event == found.name
    assert (found.depth, found.execution_count) == (0, 0)
    assert found.principal == "user:anna"
    assert found.correlation_id
    assert found.HasField("cascade_end_time")
    assert uuid.UUID(found.uid).version == 4


@on_all
async def test_a_repeat_is_a_duplicate_and_other_content_is_refused(t: Tenant) -> None:
    first, again, other = await t.publish(
        event("7", data={"a": 1}), event("7", data={"a": 1}), event("7", data={"a": 2}), wait=False
    )
    assert not first.duplicate
    assert (again.event, again.duplicate) == (first.event, True)
    refused = from_status(other.status)
    assert (refused.code.name, refused.reason) == ("ALREADY_EXISTS", "EVENT_ID_REUSED")
    assert refused.metadata["event"] == first.event
    (later,) = await t.publish(event("7", data={"a": 1}), wait=False)
    assert (later.event, later.duplicate) == (first.event, True)
    assert len(await t.events()) == 1


@on_all
async def test_each_event_has_its_own_result_in_order(t: Tenant) -> None:
    bad = event("2")
    bad.source = ""
    worse = event("3", type="has spaces")
    reserved = event("4", extensions={"type": "x"})
    late = event("5", deliver_time="2999-01-01T00:00:00Z")
    fat = event("6", extra={"x": "y" * 70_000})
    large = event("8", data="z" * 1_100_000)
    results = await t.publish(event("1"), bad, worse, reserved, late, fat, large, event("9"), wait=False)
    reasons = [from_status(r.status).reason if r.HasField("status") else "" for r in results]
    assert reasons == ["", "FIELD_INVALID", "FIELD_INVALID", "FIELD_INVALID", "FIELD_INVALID", "TOO_LARGE",
                       "FIELD_INVALID", ""]  # fmt: skip
    fields = [from_status(r.status).violations[0].field for r in results[1:3]]
    assert fields == ["source", "type"]
    assert sorted(e.id for e in await t.events()) == ["1", "9"]


@on_all
async def test_the_same_request_gives_the_same_answer(t: Tenant) -> None:
    request = pb.BatchPublishEventsRequest(events=[event("1"), event("2")], request_id=str(uuid.uuid4()))
    first = await t.s.rules.BatchPublishEvents(request)
    assert await t.s.rules.BatchPublishEvents(request) == first
    assert not first.results[0].duplicate
    request.events[0].type = "order.other"
    with pytest.raises(Invalid) as caught:
        await t.s.rules.BatchPublishEvents(request)
    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_waiting_tells_how_the_cascade_ended(t: Tenant) -> None:
    await t.rule("good", on=["order.good"], actions=[emit("order.done")])
    await t.rule("bad", on=["order.done"], when=["payload.missing == 1"], actions=[emit("never")])
    good, none = await t.publish(event(type="order.good"), event(type="nobody.cares"))
    assert (good.complete, good.cascade_state) == (True, pb.Cascade.STATE_FAILED)
    assert (none.complete, none.cascade_state) == (True, pb.Cascade.STATE_SUCCEEDED)


@on_all
async def test_a_later_delivery_waits_for_its_time(t: Tenant) -> None:
    await t.rule("r", on=["timer.*"], actions=[emit("rang")])
    soon = event(type="timer.soon")
    soon.deliver_time.GetCurrentTime()
    soon.deliver_time.FromNanoseconds(soon.deliver_time.ToNanoseconds() + 400_000_000)
    never = event(type="timer.never")
    never.deliver_time.GetCurrentTime()
    never.deliver_time.seconds += 3600
    first, second = await t.publish(soon, never, wait=False)
    scheduled = await t.s.rules.GetEvent(pb.GetEventRequest(name=second.event))
    assert scheduled.state == pb.Event.STATE_SCHEDULED
    assert not scheduled.HasField("end_time")
    (rang,) = await eventually(lambda: t.events('type = "rang"'))
    assert rang.root_event == first.event
    assert rang.create_time.ToNanoseconds() >= soon.deliver_time.ToNanoseconds()
    assert not await t.executions(f'event = "{second.event}"')


async def test_a_stream_answers_each_request_in_order(t: Tenant) -> None:
    async def requests() -> Any:
        for number in range(5):
            yield pb.PublishEventStreamRequest(events=[event(f"{number}-{i}") for i in range(3)], sequence=number)
        yield pb.PublishEventStreamRequest(events=[event("0-0", type="other")], sequence=9)

    answers = [answer async for answer in t.s.rules.PublishEventStream(requests())]
    assert [answer.sequence for answer in answers] == [0, 1, 2, 3, 4, 9]
    assert all(result.event for answer in answers[:5] for result in answer.results)
    assert from_status(answers[5].results[0].status).reason == "EVENT_ID_REUSED"
    assert len(await t.events()) == 15


def post(content_type: str, body: Any) -> pb.PublishCloudEventsRequest:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return pb.PublishCloudEventsRequest(body=HttpBody(content_type=content_type, data=data))


CLOUD = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.confirmed"}
STRUCTURED = "application/cloudevents+json; charset=utf-8"
BATCH = "application/cloudevents-batch+json"


async def test_cloud_events_come_as_their_sdks_post_them(t: Tenant) -> None:
    one = {
        **CLOUD,
        "subject": "order/1",
        "data": {"total": 5},
        "time": "2026-01-02T03:04:05Z",
        "partition": 7,
        "vip": True,
    }
    answer = await t.s.rules.PublishCloudEvents(post(STRUCTURED, one))
    found = await t.s.rules.GetEvent(pb.GetEventRequest(name=answer.results[0].event))
    assert dict(found.extensions) == {"partition": "7", "vip": "true"}
    assert found.time.ToJsonString() == "2026-01-02T03:04:05Z"
    batch = [{**CLOUD, "id": "2", "data_base64": "AAH/"}, {**CLOUD, "id": "3", "specversion": "0.3"}]
    answer = await t.s.rules.PublishCloudEvents(post(BATCH, batch))
    binary = await t.s.rules.GetEvent(pb.GetEventRequest(name=answer.results[0].event))
    assert binary.binary_data == b"\x00\x01\xff"
    refused = from_status(answer.results[1].status)
    assert (refused.reason, refused.metadata["index"], refused.metadata["attribute"]) == (
        "EVENT_INVALID",
        "1",
        "specversion",
    )


async def test_a_cloud_event_can_be_delivered_later(t: Tenant) -> None:
    answer = await t.s.rules.PublishCloudEvents(post(STRUCTURED, {**CLOUD, "delivertime": "2100-01-01T00:00:00Z"}))
    assert from_status(answer.results[0].status).reason == "FIELD_INVALID"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


async def test_a_cloud_event_may_be_as_deep_as_any_event(t: Tenant) -> None:
    (result,) = (await t.s.rules.PublishCloudEvents(post(STRUCTURED, {**CLOUD, "data": nested(20)}))).results
    assert result.event


@pytest.mark.parametrize(
    ("content_type", "body", "reason"),
    [
        ("text/html", {}, "CONTENT_TYPE_UNSUPPORTED"),
        (STRUCTURED, b"{", "EVENT_INVALID"),
        (STRUCTURED, [], "EVENT_INVALID"),
        (STRUCTURED, {**CLOUD, "time": "yesterday"}, "EVENT_INVALID"),
        (STRUCTURED, {**CLOUD, "Bad_Name": "x"}, "EVENT_INVALID"),
        (STRUCTURED, {**CLOUD, "data": 1, "data_base64": "AA=="}, "EVENT_INVALID"),
        (STRUCTURED, {**CLOUD, "id": None}, "FIELD_INVALID"),
        (STRUCTURED, {**CLOUD, "data": nested(21)}, "FIELD_INVALID"),
        (BATCH, [{**CLOUD, "data": nested(900)}], "FIELD_INVALID"),
        (BATCH, {}, "EVENT_INVALID"),
        (BATCH, [], "EVENT_INVALID"),
    ],
)
async def test_a_post_without_an_accepted_event_fails(t: Tenant, content_type: str, body: Any, reason: str) -> None:
    with pytest.raises(Invalid) as caught:
        await t.s.rules.PublishCloudEvents(post(content_type, body))
    assert caught.value.reason == reason


@on_all
async def test_lists_filter_order_and_page(t: Tenant) -> None:
    await t.publish(*(event(str(i), f"kind.{i % 3}", f"s/{i}", data={"n": i}) for i in range(9)), wait=False)
    first = await t.s.rules.ListEvents(
        pb.ListEventsRequest(filter="data.n >= 3", order_by="type desc, id", page_size=4)
    )
    assert not first.events[0].HasField("data")
    second = await t.s.rules.ListEvents(
        pb.ListEventsRequest(
            filter="data.n >= 3", order_by="type desc, id", page_size=4, page_token=first.next_page_token
        )
    )
    assert [e.id for e in (*first.events, *second.events)] == ["5", "8", "4", "7", "3", "6"]
    assert not second.next_page_token
    latest = await t.s.rules.ListEvents(pb.ListEventsRequest(page_size=2))
    assert [e.id for e in latest.events] == ["8", "7"]
    with pytest.raises(Invalid) as caught:
        await t.s.rules.ListEvents(
            pb.ListEventsRequest(page_size=2, filter="data.n > 0", page_token=latest.next_page_token)
        )
    assert caught.value.reason == "PAGE_TOKEN_INVALID"
    with pytest.raises(Invalid) as caught:
        await t.s.rules.ListEvents(pb.ListEventsRequest(filter="colour = 3"))
    assert caught.value.reason == "FILTER_INVALID"


async def test_a_correlation_id_finds_events_of_all_services(t: Tenant) -> None:
    await t.publish(event("1", extensions={"correlationid": "c-1"}), event("2"), wait=False)
    (found,) = await t.events('correlation_id = "c-1"')
    assert found.id == "1"


async def test_tenants_do_not_see_each_other(t: Tenant) -> None:
    (mine,) = await t.publish(event("1", data={"a": 1}), wait=False)
    async with connect(t.server.address, token=token(f"{t.name}-other")) as other:
        with pytest.raises(NotFound):
            await other.rules.GetEvent(pb.GetEventRequest(name=mine.event))
        answer = await other.rules.BatchPublishEvents(pb.BatchPublishEventsRequest(events=[event("1", data={"a": 2})]))
        assert not answer.results[0].duplicate
        assert answer.results[0].event != mine.event


async def test_publishing_needs_its_permission(t: Tenant) -> None:
    async with connect(t.server.address, token=token(t.name, "rule.events.get")) as weak:
        with pytest.raises(PermissionDenied) as caught:
            await weak.rules.BatchPublishEvents(pb.BatchPublishEventsRequest(events=[event()]))
    assert caught.value.metadata["permission"] == "rule.events.batchPublish"
