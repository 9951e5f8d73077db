"""The RPCs about events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from google.longrunning import operations_pb2 as lro
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from sutler.context import current
from sutler.idempotency import Once
from sutler.interceptors.idempotency import once
from sutler.operations.servicer import to_pb
from sutler.request_streams import until_shutdown
from sutler.rule.v1 import rule_pb2 as pb
from sutler.type.v1.operation_pb2 import PlannedStep
from sutler.watch import with_final_status

from services.rule.outcomes import Published
from services.rule.publishing import refuse_if_none
from services.rule.servicer.parts import Rpcs, cause
from services.rule.wire.cloudevents import contents_of
from services.rule.wire.events import contents_from, event_pb, results_pb
from services.rule.wire.operations import checked_only, chosen_from, plan_pb
from services.rule.wire.times import given

DEFAULT_WAIT_SECONDS = 30.0

Whole = Callable[[Sequence[Published]], Sequence[Published]]


class EventRpcs(Rpcs):
    """RPCs about events."""

    async def GetEvent(self, request: pb.GetEventRequest, context: Any) -> pb.Event:
        return event_pb(await self._parts.reading.event(current().tenant, request.name), full=True)

    async def ListEvents(self, request: pb.ListEventsRequest, context: Any) -> pb.ListEventsResponse:
        full = request.view == pb.EVENT_VIEW_FULL
        query = self._parts.query("ListEvents", request)
        found = await self._parts.reading.events(current().tenant, query, full=full)
        messages = [event_pb(event, full=full) for event in found.items]
        events, token = self._parts.page("ListEvents", request, found, messages)
        return pb.ListEventsResponse(events=events, next_page_token=token)

    async def BatchPublishEvents(
        self, request: pb.BatchPublishEventsRequest, context: Any
    ) -> pb.BatchPublishEventsResponse:
        def answer(results: Sequence[Published]) -> pb.BatchPublishEventsResponse:
            return pb.BatchPublishEventsResponse(results=results_pb(results))

        rows = contents_from(request.events)
        return answer(
            await self._parts.publishing.publish(
                current().tenant, rows, cause(), remembering(answer), wait_seconds(request)
            )
        )

    async def PublishCloudEvents(
        self, request: pb.PublishCloudEventsRequest, context: Any
    ) -> pb.PublishCloudEventsResponse:
        def answer(results: Sequence[Published]) -> pb.PublishCloudEventsResponse:
            return pb.PublishCloudEventsResponse(results=results_pb(results))

        rows = contents_of(request.body)
        refuse_if_none(rows)
        results = await self._parts.publishing.publish(
            current().tenant, rows, cause(), remembering(answer), wait_seconds(request)
        )
        refuse_if_none([result.error or result for result in results])
        return answer(results)

    def PublishEventStream(
        self, requests: AsyncIterator[pb.PublishEventStreamRequest], context: Any
    ) -> AsyncIterator[pb.PublishEventStreamResponse]:
        def last(status: Status) -> pb.PublishEventStreamResponse:
            return pb.PublishEventStreamResponse(status=status)

        return with_final_status("rule", self._publish_stream(requests), last)

    async def _publish_stream(
        self, requests: AsyncIterator[pb.PublishEventStreamRequest]
    ) -> AsyncIterator[pb.PublishEventStreamResponse]:
        async for request in until_shutdown(requests, self._parts.shutdown):
            results = await self._parts.publishing.publish(
                current().tenant, contents_from(request.events), cause(), lambda _: None, patient=True
            )
            yield pb.PublishEventStreamResponse(results=results_pb(results), sequence=request.sequence)

    async def ReplayEvents(self, request: pb.ReplayEventsRequest, context: Any) -> lro.Operation:
        call, replays, chosen = current(), self._parts.replays, chosen_from(request)
        if request.validate_only:
            planned = await replays.plan_events(call.tenant, chosen)
            plan = plan_pb(planned, PlannedStep.ACTION_CREATE, "events given to the rule")
            return checked_only(pb.ReplayEventsResponse(event_count=planned.count), "events", plan)
        operation = await replays.replay_events(
            call.tenant, call.principal.actor, chosen, once(to_pb), max_rate=request.max_rate
        )
        return to_pb(operation)


def remembering(answer: Callable[[Sequence[Published]], Message]) -> Callable[[Whole], Once | None]:
    """Returns what makes the record of an answer to a publishing call."""
    return lambda whole: once(lambda accepted: answer(whole(accepted)))


def wait_seconds(request: Any) -> float | None:
    """Returns how long a publishing call waits for the ends of its cascades; None for not at all."""
    if not request.wait:
        return None
    timeout = given(request, "wait_timeout")
    return DEFAULT_WAIT_SECONDS if timeout is None else timeout
