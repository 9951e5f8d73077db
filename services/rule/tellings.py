"""Makes the events that tell of changes of subjects and of given-up executions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.rule.events import (
    HANDLER_FAILED,
    INHERITED,
    PROPERTY_CHANGED,
    PROPERTY_DELETED,
    SOURCE,
    SUBJECT_DELETED,
    Content,
    Event,
)
from services.rule.executions import Execution
from services.rule.failures import Failure
from services.rule.steps import Change
from services.rule.subjects import Subject, subject_name
from services.rule.values import plain


def of_change(
    change: Change, revision: int, id_: str, now: float, extra: Mapping[str, Any], extensions: Mapping[str, str]
) -> Content:
    """Returns the event that tells of a changed or removed property.

    Args:
        change: What changed.
        revision: The revision of the subject by then.
        id_: The id of the event.
        now: Epoch seconds.
        extra: What the writer says beside it.
        extensions: The extension attributes.
    """
    data: dict[str, Any] = {"property": change.property}
    if change.has_old:
        data["old_value"] = change.old
    if change.has_new:
        data["new_value"] = change.new
    data["revision"] = revision
    type_ = PROPERTY_CHANGED if change.has_new else PROPERTY_DELETED
    return Content(
        id_, SOURCE, type_, change.subject, time=now, data=data, extra=dict(extra), extensions=dict(extensions)
    )


def of_deletion(subject: Subject, cause: str, id_: str, now: float, extra: Mapping[str, Any]) -> Content:
    """Returns the event that tells of a deleted subject, with all that was removed.

    Args:
        subject: The subject as it was.
        cause: ``DELETED`` or ``EXPIRED``.
        id_: The id of the event.
        now: Epoch seconds.
        extra: What the writer says beside it.
    """
    data = {
        "properties": dict(subject.properties),
        "ext_properties": dict(subject.ext_properties),
        "revision": subject.revision,
        "cause": cause,
    }
    return Content(id_, SOURCE, SUBJECT_DELETED, subject.id, time=now, data=data, extra=dict(extra))


def of_failure(event: Event, execution: Execution, failure: Failure, dead_letter: str, id_: str, now: float) -> Content:
    """Returns the event that tells of a given-up execution."""
    data = {
        "original_event": summary(event),
        "error": {
            "code": failure.code,
            "message": failure.message,
            "reason": failure.reason,
            "domain": failure.domain,
            "metadata": dict(failure.metadata),
        },
        "subject": subject_name(execution.subject) if execution.subject else None,
        "timestamp": plain(datetime.fromtimestamp(now, UTC)),
        "rule": execution.rule,
        "execution": execution.name,
        "dead_letter": dead_letter,
    }
    return Content(id_, SOURCE, HANDLER_FAILED, execution.subject, time=now, data=data, extensions=inherited(event))


def inherited(event: Event) -> dict[str, str]:
    """Returns the extension attributes that the events which follow from one have of it."""
    return {key: event.content.extensions[key] for key in INHERITED if key in event.content.extensions}


def summary(event: Event) -> dict[str, Any]:
    """Returns what tells an event from others, without its data: those are in the dead letter."""
    content = event.content
    return {
        "name": event.name,
        "id": content.id,
        "source": content.source,
        "type": content.type,
        "subject": content.subject,
        "root_event": event.cause.root,
        "depth": event.cause.depth,
    }
