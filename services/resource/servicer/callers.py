"""Who calls, from the call that is being served."""

from __future__ import annotations

from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sutler.context import current

from services.resource.callers import Caller

_propagator = TraceContextTextMapPropagator()


def caller(request_id: str = "") -> Caller:
    """Returns the caller of the current call."""
    call = current()
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return Caller(
        tenant=call.tenant,
        principal=call.principal,
        method=call.method.rpartition("/")[2],
        request_id=request_id,
        correlation_id=call.correlation_id,
        traceparent=carrier.get("traceparent", ""),
    )
