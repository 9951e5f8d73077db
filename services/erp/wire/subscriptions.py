"""Subscriptions and changes on the wire."""

from __future__ import annotations

from google.rpc.status_pb2 import Status
from pydantic import TypeAdapter
from sutler.erp.v1 import erp_pb2
from sutler.type.v1 import operation_pb2
from sutler.watch import Batch
from sutler.wire import from_value, timestamp, to_value

from services.erp.feed.model import Change, Feed, FieldChange
from services.erp.feed.vanishing import trouble
from services.erp.feed.watching import WatchSpec
from services.erp.standing import Standing
from services.erp.subscriptions import Subscription, SubscriptionSpec
from services.erp.wire import records
from services.erp.wire.plain import fill, to_plain

SPEC = TypeAdapter(SubscriptionSpec)


def settings(message: erp_pb2.Subscription) -> SubscriptionSpec:
    """Returns what a caller decides about a subscription."""
    plain = to_plain(message)
    return SPEC.validate_python(plain | {"domain": plain["domain"] or []})


def stored(one: Subscription) -> erp_pb2.Subscription:
    """Returns a subscription without how it stands: as an update is merged into it."""
    message = fill(erp_pb2.Subscription(), one.spec)
    message.name = one.name
    message.uid = one.uid
    message.etag = one.etag
    message.create_time.CopyFrom(timestamp(one.create_time))
    message.update_time.CopyFrom(timestamp(one.update_time))
    message.event_count = one.event_count
    message.creator = one.creator
    return message


def subscription(one: Subscription, standing: Standing | None = None) -> erp_pb2.Subscription:
    """Returns a subscription, a new one in state BASELINE."""
    message = stored(one)
    known = standing or Standing()
    message.state = erp_pb2.Subscription.State.Value(f"STATE_{known.state}")
    message.state_reason = known.reason
    message.pending_event_count = known.pending_event_count
    message.record_count = known.record_count
    if known.error:
        message.last_error.CopyFrom(Status.FromString(known.error))
    for name in ("position_time", "poll_time", "reconcile_time"):
        value = getattr(known, name)
        if value is not None:
            getattr(message, name).CopyFrom(timestamp(value))
    return message


def change(one: Change) -> erp_pb2.RecordChange:
    """Returns one difference between two observations."""
    return erp_pb2.RecordChange(
        change_id=one.change_id,
        action=erp_pb2.RecordChange.Action.Value(f"ACTION_{one.action}"),
        connection=one.connection,
        model=one.record.model,
        id=one.record.id,
        record=records.record(one.record),
        changes=[_field_change(field) for field in one.changes],
        detection=erp_pb2.RecordChange.Detection.Value(f"DETECTION_{one.detection}"),
        observe_time=timestamp(one.observe_time),
        correlation_id=one.correlation_id,
        actor=one.actor,
    )


def _field_change(one: FieldChange) -> operation_pb2.FieldChange:
    message = operation_pb2.FieldChange(field=one.field)
    if one.had:
        message.before.CopyFrom(to_value(one.before))
    if one.has:
        message.after.CopyFrom(to_value(one.after))
    return message


def watch(request: erp_pb2.WatchRecordsRequest) -> WatchSpec:
    """Returns what is to be watched."""
    return WatchSpec(
        model=request.model,
        filter=request.filter,
        domain=tuple(from_value(one) for one in request.domain.values),
        fields=tuple(request.fields),
        resume_token=request.resume_token,
        replay_existing=request.replay_existing,
    )


def watched(batch: Batch[Change], feed: Feed) -> erp_pb2.WatchRecordsResponse:
    """Returns one message of a watch."""
    message = erp_pb2.WatchRecordsResponse(
        changes=[change(one) for one in batch.changes], resume_token=batch.resume_token
    )
    if feed.poll_time is not None:
        message.poll_time.CopyFrom(timestamp(feed.poll_time))
    if error := trouble(feed):
        message.feed_error.CopyFrom(Status.FromString(error))
    return message
