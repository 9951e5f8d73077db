"""Second: a duration and one log line for every call, and a span for those whose trace is sampled."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from sutler import tracing
from sutler.context import Call, current
from sutler.errors import Code
from sutler.interceptors.chain import Context, Single, Stream
from sutler.methods import Method
from sutler.telemetry import Telemetry

QUIET = ("/grpc.health.v1.Health/", "/grpc.reflection.")
"""Called all the time by gateways and tools: not measured, logged or traced."""

SERVER_FAULTS = frozenset((Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS, Code.UNAVAILABLE, Code.UNIMPLEMENTED))

Record = Callable[[Call, float, trace.Span | None], None]


class TelemetryInterceptor:
    """Measures, traces and logs calls.

    Args:
        telemetry: Where durations, spans and lines go.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    def single(self, method: Method, handler: Single) -> Single:
        """Wraps a handler with one response."""
        record, start = self._recorder(method), self._starter(method)

        async def call(request: Any, context: Context) -> Any:
            this, started = current(), time.perf_counter()
            span = start(this)
            try:
                if span is None:
                    return await handler(request, context)
                with trace.use_span(span):
                    return await handler(request, context)
            except BaseException:
                this.code = this.code or int(Code.UNKNOWN)
                raise
            finally:
                record(this, started, span)

        return handler if method.path.startswith(QUIET) else call

    def stream(self, method: Method, handler: Stream) -> Stream:
        """Wraps a handler with many responses; its duration is the whole stream's."""
        record, start = self._recorder(method), self._starter(method)

        async def call(request: Any, context: Context) -> AsyncIterator[Any]:
            this, started = current(), time.perf_counter()
            span = start(this)
            try:
                async for response in handler(request, context):
                    yield response
            except GeneratorExit:
                this.code = int(Code.CANCELLED)
                raise
            except BaseException:
                this.code = this.code or int(Code.UNKNOWN)
                raise
            finally:
                record(this, started, span)

        return handler if method.path.startswith(QUIET) else call

    def _starter(self, method: Method) -> Callable[[Call], trace.Span | None]:
        tracer, ratio, name = self._telemetry.tracer, self._telemetry.trace_ratio, method.path[1:]
        return lambda call: tracing.start(tracer, call, name, ratio)

    def _recorder(self, method: Method) -> Record:
        observe = self._telemetry.rpcs.observer(method.path)
        log = self._telemetry.log_call

        def record(call: Call, started: float, span: trace.Span | None) -> None:
            seconds = time.perf_counter() - started
            observe(call.code, seconds)
            fault = call.code in SERVER_FAULTS
            if span is not None:
                _end(span, call, fault)
            log("warning" if fault else "info", call, seconds)

        return record


def _end(span: trace.Span, call: Call, fault: bool) -> None:
    span.set_attribute("rpc.grpc.status_code", call.code)
    span.set_attribute("sutler.correlation_id", call.correlation_id)
    if fault:
        span.set_status(Status(StatusCode.ERROR, call.reason))
    span.end()
