"""What watches tell."""

from __future__ import annotations

from collections.abc import Collection

from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import timestamp

from services.rule.watching import EventChange, EventKind, SubjectChange
from services.rule.wire.events import event_pb
from services.rule.wire.executions import change_pb, execution_pb
from services.rule.wire.subjects import subject_pb


def event_change_pb(change: EventChange, *, full: bool) -> pb.EventChange:
    """Returns a change in the flow of events; data and context, where asked for, come with the first one only."""
    return pb.EventChange(
        kind=int(change.kind),  # type: ignore[arg-type]
        change_time=timestamp(change.time),
        event=event_pb(change.event, full=full and change.kind is EventKind.ACCEPTED),
        execution=None if change.execution is None else execution_pb(change.execution),
    )


def subject_change_pb(change: SubjectChange, properties: Collection[str]) -> pb.SubjectChange:
    """Returns a change of a subject, with the properties that are asked for; all if that is empty."""
    changes = [one for one in change.changes if not properties or one.property in properties]
    return pb.SubjectChange(
        kind=int(change.kind),  # type: ignore[arg-type]
        change_time=timestamp(change.time),
        subject=subject_pb(change.subject, properties),
        changes=map(change_pb, changes),
        principal=change.principal,
        execution=change.execution,
    )
