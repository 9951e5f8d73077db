"""Events: CloudEvents 1.0, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from sutler.ids import derive

from services.rule.values import ABSENT

SOURCE = "//rule.sutler.dev"
"""The ``source`` of events that this service emits itself."""

PROPERTY_CHANGED = "subject.property.changed"
PROPERTY_DELETED = "subject.property.deleted"
SUBJECT_DELETED = "subject.deleted"
HANDLER_FAILED = "error.handler_failed"
VALIDATION_FAILED = "error.validation_failed"

TRACEPARENT = "traceparent"
CORRELATION = "correlationid"
INHERITED = (TRACEPARENT, "tracestate", CORRELATION)
"""Extension attributes that an emitted event has of the one that is handled."""


class EventState(IntEnum):
    """The life of an event, by the numbers of the contract."""

    SCHEDULED = 1
    PENDING = 2
    ACTIVE = 3
    SUCCEEDED = 4
    FAILED = 5

    @property
    def ended(self) -> bool:
        """Whether all of its executions have ended."""
        return self in (EventState.SUCCEEDED, EventState.FAILED)


@dataclass(frozen=True, slots=True)
class Content:
    """What an event says, as somebody publishes it. Attributes as in CloudEvents, empty where they are not set.

    Attributes:
        time: When it happened, in epoch seconds; when it was accepted if None.
        data: JSON, or ABSENT.
        binary: Data that are bytes; None if they are not.
        extensions: Extension attributes.
        extra: Context for the rules beside the data.
        deliver_time: When rules get it, in epoch seconds; at once if None.
        digest: Tells a repeat from another event with the same source and id; empty if nobody can repeat it.
    """

    id: str
    source: str
    type: str
    subject: str = ""
    time: float | None = None
    datacontenttype: str = ""
    dataschema: str = ""
    data: Any = ABSENT
    binary: bytes | None = None
    extensions: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    deliver_time: float | None = None
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Cause:
    """Where an event comes from.

    Attributes:
        principal: The subject of the principal whose will it is.
        correlation_id: Ties one chain of calls together.
        execution: The name of the execution that emits it; empty from outside.
        event: The name of the event which that execution handles; empty from outside.
        root: The name of the event that began the cascade; empty from outside.
        depth: The depth of the new event.
    """

    principal: str
    correlation_id: str
    execution: str = ""
    event: str = ""
    root: str = ""
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One accepted event. Times are epoch seconds.

    Attributes:
        name: ``events/{event}``.
        seq: Its place in the order in which events were accepted.
        tenant: Whose it is.
        content: What it says.
        cause: Where it comes from; its root is the event itself if it came from outside.
        create_time: When it was accepted.
        update_time: When it last changed.
        state: Where it stands.
        execution_count: How many executions it began.
        failure_count: How many of them failed.
        end_time: When the last of them ended; None while one goes on.
        cascade_end_time: When everything that it caused had ended; None before.
    """

    name: str
    seq: int
    tenant: str
    content: Content
    cause: Cause
    create_time: float
    update_time: float
    state: EventState
    execution_count: int = 0
    failure_count: int = 0
    end_time: float | None = None
    cascade_end_time: float | None = None


def random_uuid_like(derived: str) -> str:
    """Returns a derived UUID in the form of a random one (version 4), which is what the contract promises of uids."""
    return f"{derived[:14]}4{derived[15:]}"


def event_name(tenant: str, source: str, id_: str) -> str:
    """Returns the name of an event: the same for a repeat, another one for each tenant, source and id."""
    return "events/" + random_uuid_like(derive(derive(tenant, source), id_))
