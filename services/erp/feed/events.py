"""Changes as events: what a subscription tells RuleService, and in which form."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from sutler.events import Event
from sutler.ids import derive
from sutler.open_data import too_deep, too_large
from sutler.validation import MAX_OPEN_DEPTH

from services.erp.feed.model import Change, Detection
from services.erp.subscriptions import Action, Subscription, Transition

MAX_DATA_BYTES = 1_000_000
"""RuleService takes data of at most 1 MiB."""


def events_of(
    subscription: Subscription, entity: str, transitions: tuple[Transition, ...], change: Change
) -> list[Event]:
    """Returns the events that a change causes: what happened to the record, then the transitions of its fields.

    Args:
        subscription: Who is to be told.
        entity: The first part of the types.
        transitions: Changes of one field that have a type of their own.
        change: What has changed.
    """
    types = []
    if not subscription.spec.actions or change.action in subscription.spec.actions:
        types.append(f"{entity}.{change.action.lower()}")
    types += [one.event_type for one in transitions if _is_transition(one, change)]
    data = event_data(change) if types else {}
    return [_event(subscription, change, kind, data) for kind in dict.fromkeys(types)]


def _is_transition(transition: Transition, change: Change) -> bool:
    if change.action is Action.DELETED or change.detection is Detection.REPLAY:
        return False
    after = change.record.values.get(transition.field)
    if change.first_seen:
        return transition.matches(None, after, first_seen=True)
    differing = next((one for one in change.changes if one.field == transition.field and one.had), None)
    return differing is not None and transition.matches(differing.before, differing.after, first_seen=False)


def _event(subscription: Subscription, change: Change, kind: str, data: Mapping[str, Any]) -> Event:
    record = change.record
    return Event(
        id=derive(change.change_id, f"{subscription.uid}/{kind}"),
        source=change.connection,
        type=kind,
        subject=f"{change.connection}/{record.model}/{record.id}",
        time=datetime.fromtimestamp(change.observe_time, UTC),
        data=fitting({**data, "event_type": kind, "subscription": subscription.name}),
        tenant=subscription.tenant,
        correlation_id=change.correlation_id,
        actor=change.actor or subscription.creator,
    )


def event_data(change: Change) -> dict[str, Any]:
    """Returns a change as the data of an event: a RecordChange in JSON, with the values in reach of rules.

    The names are those of the contract, ids are numbers, and ``values`` and ``old_values`` stand beside ``record``.
    """
    record = change.record
    told = {
        "model": record.model,
        "id": record.id,
        "display_name": record.display_name,
        "values": dict(record.values),
        "etag": record.etag,
    }
    told |= {"create_time": _time(record.create_time)} if record.create_time is not None else {}
    told |= {"update_time": _time(record.update_time)} if record.update_time is not None else {}
    return {
        "change_id": change.change_id,
        "action": f"ACTION_{change.action}",
        "connection": change.connection,
        "model": record.model,
        "id": record.id,
        "record": told,
        "values": dict(record.values),
        "old_values": {one.field: one.before for one in change.changes if one.had},
        "changes": [
            {"field": one.field}
            | ({"before": one.before} if one.had else {})
            | ({"after": one.after} if one.has else {})
            for one in change.changes
        ],
        "detection": f"DETECTION_{change.detection}",
        "observe_time": _time(change.observe_time),
        "correlation_id": change.correlation_id,
        "actor": change.actor,
    }


def fitting(data: dict[str, Any]) -> dict[str, Any]:
    """Returns event data that RuleService takes: of too large ones, first what stands there twice goes, then values."""
    if not _exceeds(data):
        return data
    data = data | {"record": {name: value for name, value in data["record"].items() if name != "values"}}
    return data | {"values": {}, "old_values": {}, "changes": [], "truncated": True} if _exceeds(data) else data


def _exceeds(data: Mapping[str, Any]) -> bool:
    text = orjson.dumps(data)
    # What has few objects and lists at all cannot be deep: to count them is quicker than to look into each.
    many = text.count(b"{") + text.count(b"[") > MAX_OPEN_DEPTH
    return (many and too_deep(data)) or too_large(data, MAX_DATA_BYTES)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
