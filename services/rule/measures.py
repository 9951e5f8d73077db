"""Counts and times what the engine does, and gives each attempt a span in the trace of its event."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.metrics import Meter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.rule.events import TRACEPARENT
from services.rule.executions import ExecutionState, Job

_propagator = TraceContextTextMapPropagator()


@dataclass(slots=True)
class Measured:
    """What is known of an attempt when it ends.

    Attributes:
        state: Where its execution stands then; None if that could not be stored.
    """

    state: ExecutionState | None = None


class Measures:
    """Instruments and spans of the engine.

    Args:
        meter: Makes the instruments.
        tracer: Makes the spans.
    """

    def __init__(self, meter: Meter, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._events = meter.create_counter("sutler_rule_events", unit="1", description="Events that were accepted")
        self._attempts = meter.create_histogram(
            "sutler_rule_attempt_duration", unit="s", description="How long attempts at executions took"
        )

    def accepted(self, count: int) -> None:
        """Counts accepted events."""
        if count:
            self._events.add(count)

    @contextmanager
    def attempt(self, job: Job) -> Iterator[Measured]:
        """Measures one attempt, in a span that belongs to the trace of the event."""
        measured = Measured()
        started = time.perf_counter()
        parent = job.event.content.extensions.get(TRACEPARENT)
        context = _propagator.extract({TRACEPARENT: parent}) if parent else None
        with self._tracer.start_as_current_span(f"rule {job.execution.rule}", context=context) as span:
            try:
                yield measured
            finally:
                state = measured.state.name if measured.state else "UNKNOWN"
                self._attempts.record(time.perf_counter() - started, {"state": state})
                if span.is_recording():
                    span.set_attribute("sutler.execution", job.execution.name)
                    span.set_attribute("sutler.state", state)
