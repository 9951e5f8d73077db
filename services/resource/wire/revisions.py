"""Revisions and watched changes as messages."""

from __future__ import annotations

from typing import Any

from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import timestamp

from services.resource.watching import SeenChange

MAX_BYTES = 3 * 1024 * 1024
"""How large a revision is at the most; then the resource before loses its open fields."""


def change(seen: SeenChange) -> pb.ResourceChange:
    """Returns a change as a watch sends it."""
    return pb.ResourceChange(
        kind=int(seen.kind),  # type: ignore[arg-type]
        resource=pb.Resource.FromString(seen.resource),
        revision=seen.revision,
        change_time=timestamp(seen.time),
    )


def revision(row: tuple[Any, ...]) -> pb.ResourceRevision:
    """Returns a revision from the columns that :data:`services.resource.adapters.reading.REVISION` names."""
    number, resource, uid, kind, actor, cause, origin, method, request_id, operation, correlation_id, time, *shown = row
    before, after = shown
    message = pb.ResourceRevision(
        revision=number,
        resource=resource,
        uid=uid,
        kind=pb.ResourceRevision.Kind.Value(f"KIND_{kind}"),
        actor=actor,
        cause=pb.ResourceRevision.Cause.Value(f"CAUSE_{cause}"),
        origin=origin,
        method=method,
        request_id=request_id,
        operation=operation,
        correlation_id=correlation_id,
        create_time=timestamp(time),
    )
    if before is not None:
        message.before.ParseFromString(before)
    if after is not None:
        message.after.ParseFromString(after)
    if len(before or b"") + len(after or b"") > MAX_BYTES:
        message.truncated = True
        message.before.ClearField("properties")
        message.before.ClearField("outputs")
    return message
