"""Events, and what became of them when they were published."""

from __future__ import annotations

import math
from collections.abc import Sequence

import xxhash
from sutler.errors import SutlerError, Violation, invalid_fields
from sutler.etags import make_etag
from sutler.field_values import clear_output_only
from sutler.paging import fitting
from sutler.rule.v1 import rule_pb2 as pb
from sutler.validation import validate_message, validate_open_data
from sutler.wire import from_struct, from_value, timestamp, to_struct, to_value

from services.rule.cascades import Cascade
from services.rule.events import Content, Event
from services.rule.outcomes import Published
from services.rule.values import ABSENT
from services.rule.wire.errors import status_of_error
from services.rule.wire.executions import execution_pb
from services.rule.wire.times import given, time_pb

_REQUIRED = ("id", "source", "type")


def content_from(message: pb.Event) -> Content | SutlerError:
    """Returns what a published event says, or why it is refused."""
    event = pb.Event()
    event.CopyFrom(message)
    clear_output_only(event)
    event.ClearField("name")
    try:
        validate_message(event)
        validate_open_data(event)
        _require(event)
        data = from_value(event.data) if event.HasField("data") else ABSENT
        _finite(data)
    except SutlerError as error:
        return error
    return Content(
        event.id,
        event.source,
        event.type,
        event.subject,
        given(event, "time"),
        event.datacontenttype,
        event.dataschema,
        data,
        event.binary_data if event.HasField("binary_data") else None,
        dict(event.extensions),
        from_struct(event.extra),
        given(event, "deliver_time"),
        xxhash.xxh3_128_digest(event.SerializeToString(deterministic=True)),
    )


def contents_from(messages: Sequence[pb.Event]) -> list[Content | SutlerError]:
    """Returns what published events say, each or why it is refused."""
    return [content_from(message) for message in messages]


def event_pb(event: Event, *, full: bool) -> pb.Event:
    """Returns an event as the API shows it.

    Args:
        event: The event.
        full: Whether data and context are shown.
    """
    content, cause = event.content, event.cause
    message = pb.Event(
        name=event.name,
        uid=event.name.removeprefix("events/"),
        create_time=timestamp(event.create_time),
        update_time=timestamp(event.update_time),
        etag=make_etag(event.name, event.update_time, int(event.state), event.failure_count, event.cascade_end_time),
        id=content.id,
        source=content.source,
        type=content.type,
        subject=content.subject,
        time=time_pb(content.time),
        datacontenttype=content.datacontenttype,
        dataschema=content.dataschema,
        extensions=content.extensions,
        deliver_time=time_pb(content.deliver_time),
        correlation_id=cause.correlation_id,
        state=int(event.state),  # type: ignore[arg-type]
        parent_execution=cause.execution,
        root_event=cause.root,
        depth=cause.depth,
        execution_count=event.execution_count,
        failure_count=event.failure_count,
        end_time=time_pb(event.end_time),
        cascade_end_time=time_pb(event.cascade_end_time),
        principal=cause.principal,
    )
    if full:
        _show_body(message, content)
    return message


def cascade_pb(cascade: Cascade, *, full: bool) -> pb.Cascade:
    """Returns a cascade as the API shows it, without its deepest parts if it is too large for one answer."""
    message = pb.Cascade(
        name=f"{cascade.top.name}/cascade",
        uid=cascade.top.name.removeprefix("events/"),
        create_time=timestamp(cascade.top.create_time),
        update_time=timestamp(cascade.update_time),
        etag=make_etag(cascade.top.name, cascade.update_time, cascade.event_count, cascade.execution_count),
        state=int(cascade.state),  # type: ignore[arg-type]
        complete=cascade.end_time is not None,
        event_count=cascade.event_count,
        execution_count=cascade.execution_count,
        end_time=time_pb(cascade.end_time),
    )
    events = [event_pb(event, full=full) for event in cascade.events]
    executions = [execution_pb(execution) for execution in cascade.executions]
    # An execution is deeper than its event, and less deep than the events that it emitted.
    by_depth = sorted([(e.depth, 0, e.ByteSize()) for e in events] + [(x.depth, 1, x.ByteSize()) for x in executions])
    kept = [kind for _, kind, _ in by_depth[: fitting(size for _, _, size in by_depth)]]
    message.events.extend(events[: kept.count(0)])
    message.executions.extend(executions[: kept.count(1)])
    message.truncated = cascade.truncated or len(kept) < len(by_depth)
    return message


def results_pb(results: Sequence[Published]) -> list[pb.PublishResult]:
    """Returns what became of published events."""
    return [_result_pb(result) for result in results]


def _result_pb(result: Published) -> pb.PublishResult:
    message = pb.PublishResult(event=result.name, duplicate=result.duplicate, status=status_of_error(result.error))
    if result.complete is not None:
        message.complete = result.complete
        message.cascade_state = _cascade_state(result)
    return message


def _cascade_state(result: Published) -> pb.Cascade.State.ValueType:
    if not result.complete:
        return pb.Cascade.STATE_ACTIVE
    return pb.Cascade.STATE_FAILED if result.failed else pb.Cascade.STATE_SUCCEEDED


def _show_body(message: pb.Event, content: Content) -> None:
    if content.data is not ABSENT:
        message.data.CopyFrom(to_value(content.data))
    elif content.binary is not None:
        message.binary_data = content.binary
    if content.extra:
        message.extra.CopyFrom(to_struct(content.extra))


def _require(event: pb.Event) -> None:
    missing = [Violation(name, "must be set", "FIELD_INVALID") for name in _REQUIRED if not getattr(event, name)]
    if missing:
        raise invalid_fields(missing)


def _finite(data: object) -> None:
    if isinstance(data, float) and not math.isfinite(data):
        raise invalid_fields([Violation("data", "holds a number that JSON does not know", "FIELD_INVALID")])
    if isinstance(data, dict):
        for item in data.values():
            _finite(item)
    elif isinstance(data, list):
        for item in data:
            _finite(item)
