"""W3C trace context that costs nothing for calls whose trace nobody samples.

A call that is not sampled makes no span. If it calls on, it says so (flag 00), so that the decision of the first
server holds along the whole chain.
"""

from __future__ import annotations

import random

from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sutler.context import Call

_propagator = TraceContextTextMapPropagator()


def start(tracer: trace.Tracer, call: Call, name: str, ratio: float) -> trace.Span | None:
    """Returns the span of a call if its trace is sampled, else None.

    The caller's ``traceparent`` decides; without one, chance does.

    Args:
        tracer: Makes the span; it samples whatever it is asked for.
        call: The call.
        name: The span's name.
        ratio: Which share of new traces is sampled.
    """
    traceparent = call.header("traceparent")
    if traceparent:
        if not _sampled(traceparent):
            return None
        context = _propagator.extract({"traceparent": traceparent})
        return tracer.start_span(name, context=context, kind=trace.SpanKind.SERVER)
    if random.random() >= ratio:
        return None
    return tracer.start_span(name, kind=trace.SpanKind.SERVER)


def inject(call: Call, carrier: dict[str, str]) -> None:
    """Adds ``traceparent`` to the headers of an outgoing call: of the current span, else of the served call."""
    if trace.get_current_span().get_span_context().is_valid:
        _propagator.inject(carrier)
        return
    traceparent = call.header("traceparent") or _unsampled()
    carrier.setdefault("traceparent", traceparent)


def _sampled(traceparent: str) -> bool:
    try:
        return bool(int(traceparent[-2:], 16) & TraceFlags.SAMPLED)
    except ValueError:
        return False


def _unsampled() -> str:
    context = SpanContext(random.getrandbits(128) or 1, random.getrandbits(64) or 1, False, TraceFlags(0))
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(NonRecordingSpan(context)))
    return carrier["traceparent"]
