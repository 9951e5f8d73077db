"""Makes the events that rules and schedules emit."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping

from sutler.errors import FailedPrecondition, Invalid, SutlerError
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
    content = fill(
        deed,
        id_=derive(execution.uuid, f"events/{step}"),
        source=f"{SOURCE}/{execution.rule}",
        subject=event.content.subject,
        time=now,
        now=now,
        inherited=inherited(event),
    )
    check(content, f"action {step}", {"action": step})
    return content


def fill(
    deed: EmitEvent, *, id_: str, source: str, subject: str, time: float, now: float, inherited: Mapping[str, str]
) -> Content:
    """Returns what an event says that is made from a draft.

    Args:
        deed: The draft, with all templates filled in.
        id_: The event's id.
        source: Its source if the draft names none.
        subject: Its subject if the draft says nothing of one.
        time: When it happened, in epoch seconds.
        now: From when on a delay counts, in epoch seconds.
        inherited: Extension attributes that it has unless the draft sets them.
    """
    return Content(
        id=id_,
        source=deed.source or source,
        type=deed.type,
        subject=subject if deed.subject is None else deed.subject,
        time=time,
        datacontenttype=deed.datacontenttype,
        dataschema=deed.dataschema,
        data=deed.data if deed.has_data else ABSENT,
        binary=base64.b64decode(deed.binary_data) if deed.binary_data else None,
        extensions={**inherited, **deed.extensions},
        extra=deed.extra,
        deliver_time=now + deed.delay if deed.delay else None,
    )


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


def too_deep(limit: int, cause: Cause, type_: str) -> SutlerError:
    """Returns the error for an event that would be deeper than a cascade may be."""
    return FailedPrecondition(
        f"an event {type_} would be at depth {cause.depth} of the cascade of {cause.root}, and {limit} is the limit: "
        "rules fire each other in a circle",
        reason="CASCADE_TOO_DEEP",
        metadata={"limit": str(limit), "root_event": cause.root, "type": type_},
    )


def check(content: Content, maker: str, metadata: Mapping[str, str]) -> None:
    """Checks the attributes of an event that was made from a draft.

    Args:
        content: What it says.
        maker: What made it, for the message.
        metadata: The variables of ``maker``.

    Raises:
        Invalid: If a value that was filled in breaks a rule for events (TEMPLATE_INVALID).
    """
    for field, rule in faults_of(content):
        raise Invalid(
            f"the {field} of the event that {maker} emits breaks a rule: it {rule}",
            reason="TEMPLATE_INVALID",
            metadata={**metadata, "field": field},
        )


def faults_of(content: Content | EmitEvent) -> Iterator[tuple[str, str]]:
    """Yields each field of an event that breaks a rule for events, with that rule."""
    if not _TYPE.fullmatch(content.type):
        yield "type", "has 1 to 256 characters without spaces and control characters"
    texts = {"subject": (content.subject or "", 2048), "source": (content.source, 1024)}
    for name, (value, limit) in texts.items():
        if not _LINE.fullmatch(value) or len(value.encode()) > limit:
            yield name, f"has at most {limit} bytes without control characters"
    for name, value in content.extensions.items():
        if len(value.encode()) > MAX_EXTENSION_BYTES:
            yield f"extensions.{name}", f"has at most {MAX_EXTENSION_BYTES} bytes"
