"""Who calls, from the call that is being served."""

from __future__ import annotations

from contextvars import ContextVar

from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sutler.context import current

from services.resource.callers import Caller
from services.resource.history import Cause

_propagator = TraceContextTextMapPropagator()
_origin: ContextVar[str] = ContextVar("sutler_resource_origin", default="")


def set_origin(resource: str) -> None:
    """Makes the calls of the current task those of the handler of a resource."""
    _origin.set(resource)


def caller(request_id: str = "") -> Caller:
    """Returns the caller of the current call."""
    call = current()
    return Caller(
        tenant=call.tenant,
        principal=call.principal,
        method=call.method.rpartition("/")[2],
        request_id=request_id,
        correlation_id=call.correlation_id,
        traceparent=_traceparent(),
        cause=Cause.HANDLER if _origin.get() else Cause.REQUEST,
        origin=_origin.get(),
    )


def _traceparent() -> str:
    if not get_current_span().get_span_context().is_valid:
        return ""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent", "")
