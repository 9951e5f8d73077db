"""Subjects and their changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from sutler import masks
from sutler.errors import invalid
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import from_struct, from_value, timestamp, to_struct

from services.rule.steps import Change
from services.rule.subject_updates import Facts, Merge
from services.rule.subjects import Subject
from services.rule.tasks import Holding
from services.rule.wire.executions import change_pb
from services.rule.wire.times import given, span_pb, time_pb
from services.rule.writes import Write


def subject_pb(subject: Subject, properties: Collection[str] = (), changes: Sequence[Change] = ()) -> pb.Subject:
    """Returns a subject as the API shows it.

    Args:
        subject: The subject.
        properties: The properties and ext properties to show; all if empty.
        changes: What a call has changed.
    """
    return pb.Subject(
        name=subject.name,
        uid=subject.uid,
        create_time=timestamp(subject.create_time),
        update_time=timestamp(subject.update_time),
        etag=subject.etag,
        properties=to_struct(_chosen(subject.properties, properties)),
        ext_properties=to_struct(_chosen(subject.ext_properties, properties)),
        revision=subject.revision,
        ttl=span_pb(subject.ttl),
        expire_time=time_pb(subject.expire_time),
        changes=map(change_pb, changes),
    )


def merge_of(update: pb.Subject, mask: FieldMask | None) -> Merge:
    """Returns what makes of a stored subject what an update says."""
    wanted = pb.Subject()
    wanted.CopyFrom(update)

    def merge(stored: Subject) -> Facts:
        wanted.name = stored.name
        merged = masks.merge(subject_pb(stored), wanted, mask, below="subject")
        return Facts(from_struct(merged.properties), from_struct(merged.ext_properties), given(merged, "ttl"))

    return merge


def write_from(message: pb.PropertyWrite) -> Write:
    """Returns one write of a request."""
    kind: Any = message.WhichOneof("write")
    value: Any = None
    if kind == "value":
        kind, value = "set", from_value(message.value)
    elif kind == "deleted":
        kind = "delete"
    else:
        value = getattr(message, kind)
    return Write(message.property, kind, value, message.ext, message.muted)


def _chosen(values: Any, names: Collection[str]) -> Any:
    return {key: value for key, value in values.items() if key in names} if names else values


def subject_id(name: str) -> str:
    """Returns the id in the name of a subject.

    Raises:
        Invalid: If the name is not set.
    """
    if not name:
        raise invalid("subject.name", "must be set")
    return name.removeprefix("subjects/")


def holding_of(request: pb.UpdateSubjectRequest) -> Holding | None:
    """Returns what a worker says to prove that it writes in the course of a task; None if it names none.

    Raises:
        Invalid: If there is a task without a lease, or the other way round.
    """
    if bool(request.task) != bool(request.lease_token):
        raise invalid("lease_token" if request.task else "task", "must be set: a task and its lease go together")
    return Holding(request.task, request.lease_token) if request.task else None
