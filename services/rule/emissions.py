"""Makes the events that rules emit."""

from __future__ import annotations

import base64
import re

from sutler.errors import Invalid
from sutler.ids import derive

from services.rule.definitions import EmitEvent
from services.rule.events import SOURCE, Cause, Content, Event
from services.rule.executions import Execution
from services.rule.tellings import inherited
from services.rule.values import ABSENT

MAX_EXTENSION_BYTES = 4096

_TYPE = re.compile(r"[^\s\x00-\x1f\x7f]{1,256}")
_LINE = re.compile(r"[^\x00-\x1f\x7f]*")


def make_content(deed: EmitEvent, execution: Execution, step: str, event: Event, now: float) -> Content:
    """Returns what an emitted event says.

    Args:
        deed: The action, with all templates filled in.
        execution: Who emits it.
        step: The id of the action.
        event: The event that is handled.
        now: Epoch seconds.

    Raises:
        Invalid: If a value that was filled in breaks a rule for events (TEMPLATE_INVALID).
    """
    content = Content(
        id=derive(execution.uuid, f"events/{step}"),
        source=deed.source or f"{SOURCE}/{execution.rule}",
        type=deed.type,
        subject=event.content.subject if deed.subject is None else deed.subject,
        time=now,
        datacontenttype=deed.datacontenttype,
        dataschema=deed.dataschema,
        data=deed.data if deed.has_data else ABSENT,
        binary=base64.b64decode(deed.binary_data) if deed.binary_data else None,
        extensions={**inherited(event), **deed.extensions},
        extra=deed.extra,
        deliver_time=now + deed.delay if deed.delay else None,
    )
    _check(content, step)
    return content


def caused_by(execution: Execution, event: Event, principal: str) -> Cause:
    """Returns where the events of an execution come from.

    Args:
        execution: Who emits them.
        event: The event that is handled.
        principal: The subject of the principal that wrote the rule.
    """
    return Cause(
        principal, execution.correlation_id, execution.name, event.name, execution.root_event, execution.depth + 1
    )


def _check(content: Content, step: str) -> None:
    if not _TYPE.fullmatch(content.type):
        raise _refused(step, "type", "has 1 to 256 characters without spaces and control characters")
    texts = {"subject": (content.subject, 2048), "source": (content.source, 1024)}
    for name, (value, limit) in texts.items():
        if not _LINE.fullmatch(value) or len(value.encode()) > limit:
            raise _refused(step, name, f"has at most {limit} bytes without control characters")
    for name, value in content.extensions.items():
        if len(value.encode()) > MAX_EXTENSION_BYTES:
            raise _refused(step, f"extensions.{name}", f"has at most {MAX_EXTENSION_BYTES} bytes")


def _refused(step: str, field: str, rule: str) -> Invalid:
    return Invalid(
        f"the {field} of the event that action {step} emits breaks a rule: it {rule}",
        reason="TEMPLATE_INVALID",
        metadata={"action": step, "field": field},
    )
