"""The events that tell others what happens to resources. They are stored with the change that they tell of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sutler.events import Event
from sutler.ids import derive
from sutler.open_data import too_deep, too_large
from sutler.operations.model import Operation

from services.resource.documents import as_told, document, problem_document
from services.resource.problems import Problem
from services.resource.resource import Resource

SOURCE = "//resource.sutler.dev"
MAX_DATA_BYTES = 1_000_000
"""Data over this leave ``properties`` and ``outputs`` out, which keeps every event below 1 MiB. So do data that are
too deep: those of events are two levels deeper than what they tell of."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The call that an event goes back to: its request id and its W3C trace context; empty if unknown."""

    request_id: str = ""
    traceparent: str = ""


Happening = Literal["accepted", "succeeded", "failed", "canceled", "deleted"]


def event(
    happening: Happening,
    resource: Resource,
    operation: Operation,
    origin: Origin,
    now: float,
    error: Problem | None = None,
) -> Event:
    """Returns an event ``resource.<happening>``; the arguments are those of :func:`events`."""
    return events((happening,), resource, operation, origin, now, error)[0]


def events(
    happenings: Sequence[Happening],
    resource: Resource,
    operation: Operation,
    origin: Origin,
    now: float,
    error: Problem | None = None,
) -> list[Event]:
    """Returns events ``resource.<happening>`` that tell of the same resource as it is at one moment.

    Args:
        happenings: What happened.
        resource: The resource as it is after that; as it was last if it is gone.
        operation: The operation that it belongs to. Each of its events has one id, however often it is made.
        origin: The call that began the operation.
        now: When it happened, in seconds since 1970.
        error: Why it failed or was cancelled.
    """
    data = _data(resource, operation, origin, error)
    return [
        Event(
            id=derive(operation.name.partition("/")[2], f"{happening}/{resource.uid}"),
            source=SOURCE,
            type=f"resource.{happening}",
            subject=resource.name,
            time=datetime.fromtimestamp(now, UTC),
            data=data,
            tenant=resource.tenant,
            correlation_id=operation.correlation_id,
            traceparent=origin.traceparent,
            actor=operation.creator,
        )
        for happening in happenings
    ]


def _data(resource: Resource, operation: Operation, origin: Origin, error: Problem | None) -> dict[str, Any]:
    shown = as_told(document(resource))
    data: dict[str, Any] = {
        "resource": shown,
        "operation": operation.name,
        "method": operation.method,
        "actor": operation.creator,
        "request_id": origin.request_id,
        "correlation_id": operation.correlation_id,
    }
    if error is not None:
        data["error"] = problem_document(error)
    if too_deep(data) or too_large(data, MAX_DATA_BYTES):
        data["resource"] = {name: shown[name] for name in shown if name not in ("properties", "outputs")}
        data["truncated"] = True
    return data
