"""Compares what is read with what was known: the differences, each with an id of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutler.ids import derive, new_id

from services.erp.feed.model import Change, Cursor, Detection, Feed, FieldChange, Observation, Phase, Touch
from services.erp.records import Record, Row, hash_of
from services.erp.subscriptions import Action


@dataclass(frozen=True, slots=True)
class Compared:
    """What one record turned out to be.

    Attributes:
        observation: What is known of it now; None if that is as it was.
        change: What has changed, with the values that were read so far; None if nothing has.
    """

    observation: Observation | None
    change: Change | None


def essence(value: Any) -> Any:
    """Returns what of a value counts: of related records only which they are, not what they are called."""
    if isinstance(value, dict) and "id" in value:
        return [value.get("model"), value["id"]]
    if isinstance(value, list):
        return [essence(item) for item in value]
    return value


def watched_hash(values: Mapping[str, Any]) -> str:
    """Returns the hash of the watched values of a record."""
    return hash_of({name: essence(value) for name, value in values.items()})


def compare(
    feed: Feed, row: Row, known: Observation | None, detection: Detection, now: float, touch: Touch | None = None
) -> Compared:
    """Compares a record that was read with what was known of it.

    Args:
        feed: What is watched.
        row: The record.
        known: What was known; None if nothing.
        detection: How it came to be read.
        now: Epoch seconds.
        touch: The write through the gateway that caused it, if that is known.
    """
    values = {name: row.values.get(name) for name in feed.spec.watched}
    updated = row.update_time or 0.0
    found = watched_hash(values)
    if known is not None and known.away_time is None and (known.update_time, known.hash) == (updated, found):
        same = known.generation == feed.cursor.generation
        return Compared(None if same else _observed(row, values, found, known.turn, feed.cursor), None)
    turn = known.turn + 1 if known is not None and known.update_time == updated else 0
    observation = _observed(row, values, found, turn, feed.cursor)
    action = _action(feed.cursor, row, known, found)
    if action is None:
        return Compared(observation, None)
    changes = _differences(known, values, action)
    if known is not None and not changes:
        return Compared(observation, None)
    replayed = _replayed(feed.cursor, row, known)
    change = Change(
        change_id=derive(f"{feed.connection_uid}/{feed.spec.model}/{row.id}", f"{action}/{updated}/{found}/{turn}"),
        action=action,
        connection=feed.connection_name,
        record=Record(model=feed.spec.model, id=row.id, values=values, display_name=row.display_name),
        changes=tuple(changes),
        detection=Detection.REPLAY if replayed else detection,
        observe_time=now,
        correlation_id=(touch.correlation_id if touch else "") or new_id(),
        actor=touch.actor if touch else "",
        first_seen=known is None,
    )
    return Compared(observation, change)


def went(feed: Feed, known: Observation, detection: Detection, now: float, touch: Touch | None = None) -> Change:
    """Returns the change of a record that is gone, or no longer selected, with its last known values."""
    step = f"{Action.DELETED}/{known.update_time}/{known.hash}/{known.turn}"
    return Change(
        change_id=derive(f"{feed.connection_uid}/{feed.spec.model}/{known.record_id}", step),
        action=Action.DELETED,
        connection=feed.connection_name,
        record=Record(
            model=feed.spec.model,
            id=known.record_id,
            values=known.values,
            display_name=known.display_name,
            update_time=known.update_time or None,
        ),
        detection=detection,
        observe_time=now,
        correlation_id=(touch.correlation_id if touch else "") or new_id(),
        actor=touch.actor if touch else "",
    )


def _observed(row: Row, values: Mapping[str, Any], found: str, turn: int, cursor: Cursor) -> Observation:
    return Observation(
        record_id=row.id,
        update_time=row.update_time or 0.0,
        hash=found,
        turn=turn,
        values=values,
        display_name=row.display_name,
        generation=cursor.generation,
    )


def _action(cursor: Cursor, row: Row, known: Observation | None, found: str) -> Action | None:
    """Returns what happened to a record that looks new or differs; None for one of a silent baseline."""
    if known is not None and known.away_time is None:
        return None if _seen_by_another(cursor, row, known) else Action.UPDATED
    if cursor.phase is Phase.LIVE:
        return Action.CREATED
    updated = row.update_time or 0.0
    if known is not None and (known.update_time, known.hash) == (updated, found):
        return None
    if cursor.replay:
        return Action.CREATED
    if updated < cursor.baseline_time:
        return None
    return Action.CREATED if (row.create_time or 0.0) >= cursor.baseline_time else Action.UPDATED


def _seen_by_another(cursor: Cursor, row: Row, known: Observation) -> bool:
    """Returns whether a record can only differ because another user, or another context, looks at it now."""
    return (
        cursor.viewer_changed
        and known.generation != cursor.generation
        and known.update_time == (row.update_time or 0.0) < cursor.baseline_time
    )


def _replayed(cursor: Cursor, row: Row, known: Observation | None) -> bool:
    return (
        known is None
        and cursor.replay
        and cursor.phase is Phase.BASELINE
        and (row.update_time or 0.0) < cursor.baseline_time
    )


def _differences(known: Observation | None, values: Mapping[str, Any], action: Action) -> Sequence[FieldChange]:
    """Returns the fields that differ; fields that were not watched before have no value to differ from.

    Of a record that appears, all that are set: one that comes back tells the old values of those that differ.
    """
    before = {} if known is None else known.values
    differing = {name for name, value in values.items() if name in before and essence(before[name]) != essence(value)}
    told = differing if known is not None and action is Action.UPDATED else {*differing, *_set(values)}
    return [
        FieldChange(name, before[name], value) if name in differing else FieldChange(name, None, value, had=False)
        for name, value in values.items()
        if name in told
    ]


def _set(values: Mapping[str, Any]) -> set[str]:
    return {name for name, value in values.items() if value not in (None, [], "")}
