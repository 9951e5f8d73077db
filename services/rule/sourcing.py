"""Events from outside that nobody waits for: messages of a queue, each accepted, or told of as one that cannot be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import BaseModel, ConfigDict, Field, field_validator
from sutler.context import DEFAULT_TENANT
from sutler.errors import Exhausted, SutlerError, Unavailable
from sutler.ids import derive, new_id

from services.rule.events import SOURCE, VALIDATION_FAILED, Cause, Content
from services.rule.failures import from_error
from services.rule.outcomes import Published
from services.rule.publishing import Publishing
from services.rule.values import plain

log = structlog.get_logger("sutler.rule")

TROUBLE_SECONDS = 1.0
"""How long to rest when events cannot be accepted now."""

MAX_TOLD_LETTERS = 1000
MAX_VIOLATIONS = 20


class Source(BaseModel):
    """Where events come from, as the operator says it.

    Attributes:
        name: Tells it from other sources; how far it has been read is remembered under this name.
        subject: The subjects, with ``*`` for one token and ``>`` for all that follow.
        stream: The stream that has them; looked for, and made if there is none, where it is empty.
        tenant: Whose the events are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern="^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$")
    subject: str = Field(max_length=1024)
    stream: str = Field("", max_length=255, pattern=r"^[^\s.*>/\\]*$")
    tenant: str = Field(DEFAULT_TENANT, min_length=1)

    @field_validator("subject")
    @classmethod
    def _is_a_subject(cls, subject: str) -> str:
        tokens = subject.split(".")
        if not all(tokens) or any(c.isspace() for c in subject) or ">" in tokens[:-1] or _hidden_wildcard(tokens):
            raise ValueError("is no NATS subject, such as orders.> or orders.*.confirmed")
        return subject


def _hidden_wildcard(tokens: Sequence[str]) -> bool:
    return any(len(token) > 1 and ("*" in token or ">" in token) for token in tokens)


def overlap(one: str, other: str) -> bool:
    """Returns whether some subject matches both patterns."""
    for a, b in zip(one.split("."), other.split("."), strict=False):
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return one.count(".") == other.count(".")


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message.

    Attributes:
        row: The event in it, or why it is refused.
        key: Tells the message from all others of the source; the same when it comes again.
        origin: Where it was, for people.
        read: Gives as much of the event as can be read.
    """

    row: Content | SutlerError
    key: str
    origin: Mapping[str, str] = field(default_factory=dict)
    read: Callable[[], Mapping[str, Any]] = dict


class Sourcing:
    """Accepts the events of sources.

    Args:
        publishing: Accepts events.
    """

    def __init__(self, publishing: Publishing) -> None:
        self._publishing = publishing

    async def take(self, source: Source, arrivals: Sequence[Arrival]) -> None:
        """Accepts events in order, and tells of those that cannot be accepted; durable when it returns.

        Where events cannot be accepted now, it waits until they can.
        """
        results = await self._accept(source, [arrival.row for arrival in arrivals])
        tellings = [
            of_refusal(arrival, result.error)
            for arrival, result in zip(arrivals, results, strict=True)
            if result.error is not None
        ]
        if tellings:
            log.warning("rule.events_refused", source=source.name, count=len(tellings))
            await self._accept(source, tellings)

    async def _accept(self, source: Source, rows: Sequence[Content | SutlerError]) -> Sequence[Published]:
        while True:
            cause = Cause(f"source:{source.name}", new_id())
            try:
                return await self._publishing.publish(source.tenant, rows, cause, lambda _: None, patient=True)
            except (Exhausted, Unavailable) as error:
                log.warning("rule.source_waits", source=source.name, error=str(error))
                await asyncio.sleep(TROUBLE_SECONDS)


def of_refusal(arrival: Arrival, error: SutlerError) -> Content:
    """Returns the event that tells of an event which cannot be accepted."""
    failure = from_error(error)
    data = {
        "event": dict(arrival.read()),
        "violations": [
            {"field": v.field, "description": v.description[:MAX_TOLD_LETTERS], "reason": v.reason}
            for v in failure.violations[:MAX_VIOLATIONS]
        ],
        "timestamp": plain(datetime.now(UTC)),
        "error": {"code": failure.code, "reason": failure.reason, "message": failure.message[:MAX_TOLD_LETTERS]},
        "origin": dict(arrival.origin),
    }
    return Content(derive(SOURCE, arrival.key), SOURCE, VALIDATION_FAILED, data=data)
