"""What a service tells others about: one event, as it is stored in the outbox and posted to RuleService."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Receivers recognise a repeat by ``source`` and ``id``.

    Attributes:
        id: A UUID; derived from the cause (:func:`sutler.ids.derive`) where the work may be repeated.
        source: Who tells, such as ``//resource.sutler.dev``.
        type: ``{entity}.{action}``, such as ``resource.succeeded``.
        subject: The name of the thing it happened to.
        time: When it happened; has a time zone.
        data: The rest, as JSON knows it: None, bool, int, float, str, lists and mappings with string keys.
        tenant: Whose event it is.
        correlation_id: Ties it to the call that caused it; empty if none did.
        traceparent: The W3C trace context of the cause; empty if there is none.
        actor: The subject of the principal whose will it was; empty if it was nobody's.

    Raises:
        ValueError: If ``time`` has no time zone.
    """

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    data: Mapping[str, Any]
    tenant: str
    correlation_id: str = ""
    traceparent: str = ""
    actor: str = ""

    def __post_init__(self) -> None:
        if self.time.tzinfo is None:
            raise ValueError(f"the time of event {self.id} has no time zone: use datetime.now(UTC)")
