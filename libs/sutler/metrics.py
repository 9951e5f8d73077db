"""Rate, errors and duration of every RPC: counted in plain Python, shown to Prometheus and sent by OTLP.

OpenTelemetry's own histogram takes a tenth of what a whole call may cost, so calls are counted here, and only the
export is OpenTelemetry's and Prometheus'.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import replace

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    ScopeMetrics,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from sutler.errors import Code

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""The bucket bounds of durations."""

NAME = "rpc.server.duration"
DESCRIPTION = "Duration of calls by method and code"
OK = 0


class _Series:
    """The calls of one method that ended with one code."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(SECONDS) + 1)
        self.total = 0.0


class RpcMetrics(Collector):
    """The histogram ``rpc.server.duration`` (seconds) by method and code; its count is the rate of calls and errors."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, int], _Series] = {}
        self._start = time.time_ns()

    def observer(self, path: str) -> Callable[[int, float], None]:
        """Returns a function that counts one call of this method: code number, seconds. For one thread."""
        own: dict[int, _Series] = {}

        def observe(code: int, seconds: float) -> None:
            series = own.get(code)
            if series is None:
                series = own[code] = self._series.setdefault((path, code), _Series())
            series.buckets[bisect_left(SECONDS, seconds)] += 1
            series.total += seconds

        return observe

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Returns the histogram for Prometheus."""
        family = HistogramMetricFamily(
            "rpc_server_duration_seconds", DESCRIPTION, labels=["rpc_service", "rpc_method", "rpc_grpc_code"]
        )
        for (path, code), series in list(self._series.items()):
            bounds = [*map(str, SECONDS), "+Inf"]
            counts = list(series.buckets)
            cumulated = [sum(counts[: end + 1]) for end in range(len(counts))]
            family.add_metric(_labels(path, code), list(zip(bounds, cumulated, strict=True)), series.total)
        yield family

    def metric(self) -> Metric:
        """Returns the histogram for OpenTelemetry."""
        now = time.time_ns()
        points = [
            HistogramDataPoint(
                attributes=dict(zip(("rpc.service", "rpc.method", "rpc.grpc.code"), _labels(path, code), strict=True)),
                start_time_unix_nano=self._start,
                time_unix_nano=now,
                count=sum(series.buckets),
                sum=series.total,
                bucket_counts=tuple(series.buckets),
                explicit_bounds=SECONDS,
                min=0.0,
                max=0.0,
            )
            for (path, code), series in list(self._series.items())
        ]
        return Metric(NAME, DESCRIPTION, "s", Histogram(points, AggregationTemporality.CUMULATIVE))


def _labels(path: str, code: int) -> tuple[str, str, str]:
    service, _, method = path[1:].partition("/")
    return service, method, Code(code).name if code != OK else "OK"


class WithRpcs(MetricExporter):
    """Adds the calls to whatever else is exported.

    Args:
        exporter: Sends the metrics.
        rpcs: The calls.
    """

    def __init__(self, exporter: MetricExporter, rpcs: RpcMetrics) -> None:
        super().__init__(exporter._preferred_temporality, exporter._preferred_aggregation)
        self._exporter = exporter
        self._rpcs = rpcs

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: object) -> MetricExportResult:
        """Sends metrics; the calls go under the first resource."""
        scope = ScopeMetrics(InstrumentationScope("sutler.rpc"), [self._rpcs.metric()], "")
        first, *others = metrics_data.resource_metrics
        extended = replace(first, scope_metrics=[*first.scope_metrics, scope])
        return self._exporter.export(MetricsData([extended, *others]), timeout_millis, **kwargs)

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Sends what waits."""
        return self._exporter.force_flush(timeout_millis)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: object) -> None:
        """Ends the exporter."""
        self._exporter.shutdown(timeout_millis, **kwargs)
