"""Sets up traces and metrics of one process, and its logs with them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.metrics import Meter, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import Tracer
from prometheus_client import REGISTRY, start_http_server

from sutler.errors import Unavailable
from sutler.logs import CallLog, configure_logging
from sutler.metrics import RpcMetrics, WithRpcs
from sutler.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Makes instruments and spans for one service.

    Attributes:
        meter: Makes counters and histograms.
        tracer: Makes spans.
        rpcs: Counts calls.
        trace_ratio: Which share of new traces is sampled.
        log_call: Writes the line of a call.
    """

    meter: Meter
    tracer: Tracer
    rpcs: RpcMetrics
    trace_ratio: float
    log_call: CallLog


@contextmanager
def telemetry(settings: ServerSettings, area: str) -> Iterator[Telemetry]:
    """Sets up telemetry for the service of one area, and flushes it at the end.

    Raises:
        Unavailable: If the port of the Prometheus endpoint is in use.
    """
    log_call = configure_logging(settings)
    endpoint = _prometheus(settings.metrics_port) if settings.metrics_port else None
    resource = Resource.create({"service.name": f"sutler-{area}", "service.namespace": "sutler"})
    traces = TracerProvider(sampler=ParentBased(ALWAYS_ON), resource=resource)
    readers: list[MetricReader] = []
    rpcs = RpcMetrics()
    if settings.otlp_endpoint:
        insecure = not settings.otlp_endpoint.startswith("https:")
        traces.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.otlp_endpoint, insecure=insecure))
        )
        readers.append(
            PeriodicExportingMetricReader(
                WithRpcs(OTLPMetricExporter(endpoint=settings.otlp_endpoint, insecure=insecure), rpcs)
            )
        )
    if endpoint is not None:
        readers.append(PrometheusMetricReader())
        REGISTRY.register(rpcs)
    metrics = MeterProvider(metric_readers=readers, resource=resource)
    meter = metrics.get_meter("sutler")
    began = time.monotonic()
    meter.create_observable_gauge(
        "process.uptime", [lambda _: [Observation(time.monotonic() - began)]], "s", "How long the service has run"
    )
    ratio = settings.trace_ratio if settings.otlp_endpoint else 0.0
    try:
        yield Telemetry(meter, traces.get_tracer("sutler"), rpcs, ratio, log_call)
    finally:
        metrics.shutdown()
        traces.shutdown()
        if endpoint is not None:
            REGISTRY.unregister(rpcs)
            endpoint.shutdown()
            endpoint.server_close()


def _prometheus(port: int) -> Any:
    try:
        server, _ = start_http_server(port, addr="127.0.0.1")
    except OSError as error:
        raise Unavailable(
            f"port {port} of the Prometheus endpoint is in use; set metrics_port to another one, or to 0",
            metadata={"port": str(port)},
        ) from error
    return server
