"""Middleware that most workers want: logs, metrics, traces, a breaker, and errors told as what they mean."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import structlog
from opentelemetry import metrics as telemetry
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sutler.client.rules.context import Context, Permanent
from sutler.client.rules.handlers import Middleware, Next
from sutler.errors import Unavailable
from sutler.resilience import Breaker

log = structlog.get_logger("sutler.worker")

MAX_BREAKERS = 10_000
"""How many subjects a breaker remembers; the one that was longest not asked for is forgotten."""

Report = Callable[[Context, Exception], Awaitable[None]]


def logging(*, payload: bool = False) -> Middleware:
    """Writes a line for each event that was handled, or was not.

    Args:
        payload: Shows the event's data too.
    """

    async def logged(ctx: Context, next: Next) -> Any:
        began = time.perf_counter()
        outcome = "failed"
        try:
            result = await next()
            outcome = "done"
            return result
        finally:
            told = {"event_type": ctx.event_type, "subject": ctx.task.subject, "handler": ctx.handler}
            if payload:
                told["payload"] = ctx.payload
            ms = round((time.perf_counter() - began) * 1000, 3)
            log.info("worker.event", outcome=outcome, ms=ms, attempt=ctx.attempt, task=ctx.task.name, **told)

    return logged


def metrics() -> Middleware:
    """Counts and times events by type, handler and outcome, with OpenTelemetry, which knows Prometheus."""
    meter = telemetry.get_meter("sutler.worker")
    events = meter.create_counter("sutler_worker_events", unit="1", description="Events that handlers have handled")
    durations = meter.create_histogram(
        "sutler_worker_event_duration", unit="s", description="How long handlers took for an event"
    )

    async def measured(ctx: Context, next: Next) -> Any:
        began = time.perf_counter()
        told = {"event_type": ctx.event_type, "handler": ctx.handler, "outcome": "failed"}
        try:
            result = await next()
            told["outcome"] = "done"
            return result
        finally:
            events.add(1, told)
            durations.record(time.perf_counter() - began, told)

    return measured


def tracing() -> Middleware:
    """Gives each handled event a span in the trace that the event is part of."""
    tracer = trace.get_tracer("sutler.worker")
    propagator = TraceContextTextMapPropagator()

    async def traced(ctx: Context, next: Next) -> Any:
        context = propagator.extract(dict(ctx.event.extensions))
        told = {"event.type": ctx.event_type, "subject.name": ctx.task.subject, "sutler.task": ctx.task.name}
        with tracer.start_as_current_span(f"event.{ctx.event_type}", context=context, attributes=told):
            return await next()

    return traced


def circuit_breaker(
    *,
    failures: int = 5,
    window: float = 300.0,
    pause: float = 60.0,
    key: Callable[[Context], str] = lambda ctx: ctx.task.subject,
) -> Middleware:
    """Stops calling handlers for a subject that keeps failing, in this process; its events wait, and are not lost.

    A rule has a breaker of its own, for each subject, which all processes share: ``on(…, breaker=…)``. This one is for
    what several handlers depend on.

    Args:
        failures: How many failures are borne within
        window: so many seconds.
        pause: Seconds until one event is tried.
        key: Says what fails together: the subject, or a system that handlers call.
    """
    breakers: OrderedDict[str, Breaker] = OrderedDict()

    async def guarded(ctx: Context, next: Next) -> Any:
        name = key(ctx)
        breaker = breakers.get(name) or Breaker(name, failures=failures, window=window, pause=pause)
        breakers[name] = breaker
        breakers.move_to_end(name)
        if len(breakers) > MAX_BREAKERS:
            breakers.popitem(last=False)
        async with breaker.guard(Exception):
            return await next()

    return guarded


def errors(
    *,
    transient: tuple[type[Exception], ...] = (),
    permanent: tuple[type[Exception], ...] = (),
    report: Report | None = None,
) -> Middleware:
    """Tells the server what errors of handlers mean.

    An execution that is given up becomes a dead letter and an ``error.handler_failed`` event in any case.

    Args:
        transient: Use up no attempt: what was called is away, and the event waits for it.
        permanent: Make no other attempt: they would come again.
        report: Called with each error, which then goes on to the middleware outside of this one. As the task fails,
            what it writes and emits is not committed.
    """

    async def told(ctx: Context, next: Next) -> Any:
        try:
            return await next()
        except Exception as error:
            if report is not None:
                await report(ctx, error)
            if isinstance(error, permanent):
                raise Permanent(repr(error)) from error
            if isinstance(error, transient):
                raise Unavailable(repr(error), retry_after=timedelta(seconds=1)) from error
            raise

    return told
