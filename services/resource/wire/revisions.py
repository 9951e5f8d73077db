"""Revisions and watched changes as messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import encoded_field, timestamp

from services.resource.watching import Seen

CHANGES = pb.WatchResourcesResponse.CHANGES_FIELD_NUMBER
RESOURCE = pb.ResourceChange.RESOURCE_FIELD_NUMBER

MAX_BYTES = 3 * 1024 * 1024
"""How large a revision is at the most; then the resource before loses its open fields."""


def change(kind: Seen, resource: bytes, revision: int, time: float) -> bytes:
    """Returns a change as it stands in a message of a watch.

    Args:
        kind: What happened.
        resource: The resource after it, as a message; the last that was, if it is gone.
        revision: The number of the change, or of the resource that existed.
        time: When it happened, in seconds since 1970.
    """
    rest = pb.ResourceChange(kind=int(kind), revision=revision, change_time=timestamp(time))  # type: ignore[arg-type]
    return encoded_field(CHANGES, rest.SerializeToString() + encoded_field(RESOURCE, resource))


def changes(seen: Sequence[bytes], resume_token: str, *, replaying: bool) -> bytes:
    """Returns a message of a watch.

    Args:
        seen: What :func:`change` returned for each change.
        resume_token: Resuming from it gives everything after them.
        replaying: Whether more of what exists is still to come.
    """
    rest = pb.WatchResourcesResponse(resume_token=resume_token, replaying=replaying)
    return b"".join(seen) + rest.SerializeToString()


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
