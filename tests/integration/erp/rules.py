"""A stand-in for RuleService: a real gRPC server that records events, and can refuse or be down."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sutler.rule.v1 import rule_pb2, rule_pb2_grpc
from sutler.unimplemented import Complete
from sutler.wire import from_value


@dataclass
class Recorder:
    """Accepts events once by source and id, as the contract says, and refuses another under the same id."""

    events: dict[tuple[str, str], rule_pb2.Event] = field(default_factory=dict)
    order: list[rule_pb2.Event] = field(default_factory=list)
    metadata: list[dict[str, Any]] = field(default_factory=list)
    reused: list[rule_pb2.Event] = field(default_factory=list)
    received: int = 0

    async def BatchPublishEvents(
        self, request: rule_pb2.BatchPublishEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> rule_pb2.BatchPublishEventsResponse:
        self.metadata.append(dict(context.invocation_metadata() or ()))
        results = []
        for event in request.events:
            self.received += 1
            known = self.events.get((event.source, event.id))
            if known is None:
                self.events[event.source, event.id] = event
                self.order.append(event)
            elif known != event:
                self.reused.append(event)
            results.append(rule_pb2.PublishResult(event=f"events/{event.id}", duplicate=known is not None))
        return rule_pb2.BatchPublishEventsResponse(results=results)

    def of(self, kind: str, model: str = "sale.order") -> list[dict[str, Any]]:
        """Returns the data of the events of a type, in the order of their arrival."""
        told = [from_value(event.data) for event in self.order if event.type == kind]
        return [data for data in told if data["model"] == model]

    def types(self, record_id: int) -> list[str]:
        """Returns the types of the events of a record, in the order of their arrival."""
        return [event.type for event in self.order if from_value(event.data)["id"] == record_id]


@asynccontextmanager
async def recording(recorder: Recorder, port: int = 0) -> AsyncIterator[str]:
    """Serves the stand-in and yields its address."""
    server = grpc.aio.server()
    complete = Complete(recorder, "sutler.rule.v1.RuleService")
    rule_pb2_grpc.add_RuleServiceServicer_to_server(complete, server)
    health = _Healthy()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)  # type: ignore[no-untyped-call]
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield f"127.0.0.1:{bound}"
    finally:
        await server.stop(0)


class _Healthy(health_pb2_grpc.HealthServicer):
    async def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)
