"""What RulePublisher makes of the answers of RuleService."""

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from google.rpc.status_pb2 import Status
from sutler.client import connect
from sutler.errors import Invalid, Unavailable
from sutler.events import Event
from sutler.publishing import RulePublisher
from sutler.rule.v1 import rule_pb2 as pb
from sutler.rule.v1.rule_pb2_grpc import add_RuleServiceServicer_to_server
from sutler.server import Runtime, Service, running
from sutler.settings import ServerSettings
from sutler.wire import from_value


class Rules:
    """Answers with statuses in turn; OK when there are none left."""

    def __init__(self) -> None:
        self.requests: list[pb.BatchPublishEventsRequest] = []
        self.codes: list[int] = []

    async def BatchPublishEvents(self, request: Any, context: Any) -> pb.BatchPublishEventsResponse:
        self.requests.append(request)
        results = []
        for event in request.events:
            code = self.codes.pop(0) if self.codes else 0
            failed = Status(code=code, message="no") if code else None
            results.append(pb.PublishResult(event="" if code else f"events/{event.id}", status=failed))
        return pb.BatchPublishEventsResponse(results=results)


@asynccontextmanager
async def publisher(rules: Rules) -> Any:
    @asynccontextmanager
    async def app(settings: ServerSettings, runtime: Runtime) -> Any:
        yield Service("rule", {"sutler.rule.v1.RuleService": (add_RuleServiceServicer_to_server, rules)})

    settings = ServerSettings(port=0, drain_pause_seconds=0, drain_seconds=0, log_level="error")
    async with running(app, settings, "rule") as server, connect(server.address, attempts=1) as connection:
        yield RulePublisher(connection)


def event(id: str, **fields: Any) -> Event:
    given = {"data": {"n": 1}, "tenant": "default", **fields}
    return Event(id, "//erp.sutler.dev", "order.confirmed", "s/1", datetime(2026, 1, 2, tzinfo=UTC), **given)


async def test_an_event_arrives_with_all_that_it_says() -> None:
    rules = Rules()
    async with publisher(rules) as to:
        sent = event("e1", data={"a": [1, None], "b": 2**60}, correlation_id="c", traceparent="00-t", actor="user:anna")
        assert await to.publish([sent]) == 1
    (message,) = rules.requests[0].events
    assert (message.id, message.source, message.type, message.subject) == ("e1", sent.source, sent.type, "s/1")
    assert message.time.ToJsonString() == "2026-01-02T00:00:00Z"
    assert from_value(message.data) == {"a": [1, None], "b": str(2**60)}
    assert dict(message.extensions) == {"correlationid": "c", "traceparent": "00-t", "actor": "user:anna"}
    assert rules.requests[0].request_id


async def test_events_of_one_tenant_go_together() -> None:
    rules = Rules()
    async with publisher(rules) as to:
        assert await to.publish([event("1"), event("2"), event("3", tenant="other"), event("4")]) == 2
        assert await to.publish([event("3", tenant="other"), event("4")]) == 1
    assert [[e.id for e in request.events] for request in rules.requests] == [["1", "2"], ["3"]]


@pytest.mark.parametrize(
    ("codes", "done"),
    [([], 3), ([0, 3, 0], 3), ([6, 0, 0], 3), ([0, 8, 0], 1), ([0, 0, 13], 2)],
    ids=["all", "invalid", "reused", "exhausted", "internal"],
)
async def test_what_will_never_be_taken_is_left_and_the_rest_comes_again(codes: list[int], done: int) -> None:
    rules = Rules()
    rules.codes = codes
    async with publisher(rules) as to:
        assert await to.publish([event("1"), event("2"), event("3")]) == done


async def test_nothing_accepted_is_an_error() -> None:
    rules = Rules()
    rules.codes = [8]
    async with publisher(rules) as to:
        with pytest.raises(Unavailable):
            await to.publish([event("1")])


async def test_large_events_go_in_several_requests_and_impossible_ones_are_left() -> None:
    rules = Rules()
    large, impossible = {"x": "y" * 1_500_000}, {"x": "y" * 3_600_000}
    async with publisher(rules) as to:
        assert await to.publish([event("1", data=large), event("2", data=large), event("3", data=large)]) == 2
        assert await to.publish([event("4", data=impossible), event("5")]) == 1
    assert len(rules.requests) == 1


async def test_one_that_cannot_be_sent_is_left_and_holds_up_none() -> None:
    rules = Rules()
    deep: Any = None
    for _ in range(60):
        deep = {"x": deep}
    async with publisher(rules) as to:
        assert await to.publish([event("1"), event("2", data=deep), event("3")]) == 1
        assert await to.publish([event("2", data=deep), event("3")]) == 1
        assert await to.publish([event("3")]) == 1
    assert [[e.id for e in request.events] for request in rules.requests] == [["1"], ["3"]]


async def test_one_that_spoils_the_whole_request_is_left_alone() -> None:
    class Strict(Rules):
        async def BatchPublishEvents(self, request: Any, context: Any) -> pb.BatchPublishEventsResponse:
            if any(e.id == "bad" for e in request.events):
                raise Invalid("no")
            return await super().BatchPublishEvents(request, context)

    rules = Strict()
    async with publisher(rules) as to:
        assert await to.publish([event("1"), event("bad"), event("2")]) == 1
        assert await to.publish([event("bad"), event("2")]) == 1
        assert await to.publish([event("2")]) == 1
    assert [[e.id for e in request.events] for request in rules.requests] == [["1"], ["2"]]


async def test_a_service_that_is_away_is_an_error() -> None:
    async with connect("127.0.0.1:1", attempts=1) as connection:
        with pytest.raises(Unavailable):
            await RulePublisher(connection).publish([event("1")])
