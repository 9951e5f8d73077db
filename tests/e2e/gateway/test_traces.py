"""Spans of the gateway, as a collector gets them, and how they go on in the services."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_pb2_grpc

from tests.e2e.gateway.calls import CACHE, by_grpc, by_rest
from tests.e2e.gateway.stack import Stack, gateway, wait_for


class Collector(trace_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def Export(self, request: Any, context: Any) -> Any:
        self.spans += [span for r in request.resource_spans for scope in r.scope_spans for span in scope.spans]
        return trace_pb2.ExportTraceServiceResponse()

    def of(self, correlation: str) -> list[Any]:
        """Returns the spans with a correlation id."""
        return [
            span
            for span in self.spans
            if any(a.key == "correlation_id" and a.value.string_value == correlation for a in span.attributes)
        ]


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, int]]:
    made = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    trace_pb2_grpc.add_TraceServiceServicer_to_server(made, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield made, port
    server.stop(None).wait()


@pytest.fixture(scope="module")
def traced(plain: Stack, collector: tuple[Collector, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("traced")
    with gateway(folder, plain.endpoints, otlp=f"127.0.0.1:{collector[1]}", trace_ratio=1.0) as up:
        yield up


def span_of(correlation: str, traced: Stack, collector: Collector) -> Any:
    """Returns the span of a call. More calls make Envoy send at once what it would else keep for 5 s."""

    def sent() -> bool:
        by_rest(traced, CACHE, "a", {})
        return bool(collector.of(correlation))

    wait_for(sent, "the span")
    return collector.of(correlation)[0]


def parent(plain: Stack, correlation: str) -> list[str]:
    """Returns the parts of the traceparent that a service got."""
    line = next(line for line in plain.journal() if line["correlation"] == correlation)
    return str(line["headers"]["traceparent"]).split("-")


def test_a_trace_that_begins_at_the_gateway_goes_on_in_the_service(
    plain: Stack, traced: Stack, collector: tuple[Collector, int]
) -> None:
    by_rest(traced, CACHE, "a", {"x-correlation-id": "begun-here"})
    span = span_of("begun-here", traced, collector[0])
    assert parent(plain, "begun-here")[1:3] == [span.trace_id.hex(), span.span_id.hex()]


def test_a_callers_trace_goes_on_at_the_gateway(plain: Stack, traced: Stack, collector: tuple[Collector, int]) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    headers = {"x-correlation-id": "begun-there", "traceparent": f"00-{trace}-{span}-01"}
    by_grpc(traced, CACHE, "a", headers)
    found = span_of("begun-there", traced, collector[0])
    assert (found.trace_id.hex(), found.parent_span_id.hex()) == (trace, span)
    assert parent(plain, "begun-there")[1] == trace


def test_a_callers_wish_not_to_be_sampled_is_kept(plain: Stack, traced: Stack) -> None:
    headers = {
        "x-correlation-id": "unsampled",
        "traceparent": "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    }
    by_grpc(traced, CACHE, "a", headers)
    assert parent(plain, "unsampled")[3] == "00"


def test_without_a_collector_a_callers_trace_is_passed_on(plain: Stack) -> None:
    headers = {"x-correlation-id": "passed", "traceparent": "00-2af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    by_rest(plain, CACHE, "a", headers)
    assert parent(plain, "passed") == headers["traceparent"].split("-")
