"""Posts the events of an outbox to RuleService."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import structlog
from google.protobuf.message import DecodeError

from sutler import headers
from sutler.client import Sutler
from sutler.errors import Code, Invalid, Unavailable
from sutler.events import Event
from sutler.rule.v1 import rule_pb2
from sutler.status import from_status
from sutler.wire import timestamp, to_value

log = structlog.get_logger("sutler.publishing")

MAX_REQUEST_BYTES = 3_500_000
"""A request ends before it is larger than this; RuleService takes 4 MiB."""

FINAL = frozenset((Code.INVALID_ARGUMENT, Code.ALREADY_EXISTS))
"""Answers to an event that will always be the same."""


class RulePublisher:
    """Publishes events; made for :class:`sutler.store.relay.OutboxRelay`.

    An event carries ``correlationid``, ``traceparent`` and ``actor`` as extension attributes where it has them.

    Args:
        connection: A connection to RuleService, as :func:`sutler.neighbours.neighbour` makes it.
    """

    def __init__(self, connection: Sutler) -> None:
        self._connection = connection

    async def publish(self, events: Sequence[Event]) -> int:
        """Publishes events, and returns how many of them, from the first, need not be published again.

        These are the events that RuleService has accepted, now or before, and those that it will never take: they are
        logged as errors and left. Events of one tenant go together, as many as fit into one request.

        Args:
            events: In the order in which they happened.

        Raises:
            Unavailable: If RuleService does not answer, or has accepted none of them yet.
            SutlerError: Whatever else the call fails with.
        """
        first = events[0]
        together = list(takewhile(lambda event: event.tenant == first.tenant, events))
        messages = _messages(together)
        if not messages:
            return 1
        try:
            answer = await self._connection.rules.BatchPublishEvents(
                rule_pb2.BatchPublishEventsRequest(events=messages),
                metadata={headers.TENANT: first.tenant},  # type: ignore[arg-type]
            )
        except Invalid as error:  # one of them makes the whole request wrong: which one?
            if len(messages) > 1:
                return await self.publish(events[:1])
            _refused(first, error.reason, error.message)
            return 1
        done = 0
        for event, result in zip(together, answer.results, strict=False):
            if not result.event:
                refusal = from_status(result.status)
                if refusal.code not in FINAL:
                    break
                _refused(event, refusal.reason, refusal.message)
            done += 1
        if not done:
            raise Unavailable("RuleService has accepted none of the events", metadata={"dependency": "rule"})
        return done


def to_message(event: Event) -> rule_pb2.Event:
    """Returns an event as RuleService takes it."""
    message = rule_pb2.Event(
        id=event.id,
        source=event.source,
        type=event.type,
        subject=event.subject,
        time=timestamp(event.time.timestamp()),
        data=to_value(event.data),
    )
    extensions = {"correlationid": event.correlation_id, "traceparent": event.traceparent, "actor": event.actor}
    message.extensions.update({key: value for key, value in extensions.items() if value})
    return message


def _messages(events: Sequence[Event]) -> list[rule_pb2.Event]:
    """Returns the events from the first on that go into one request; none if the first one goes into no request."""
    made: list[rule_pb2.Event] = []
    total = 0
    for event in events:
        try:
            message = to_message(event)
            reason, cause = "TOO_LARGE", f"it is larger than {MAX_REQUEST_BYTES} bytes"
        except (DecodeError, ValueError, TypeError) as error:
            message, reason, cause = None, "NOT_ENCODABLE", str(error)
        total += message.ByteSize() + 8 if message is not None else 0
        if message is None or total > MAX_REQUEST_BYTES:
            if not made:
                _refused(event, reason, cause)
            break
        made.append(message)
    return made


def _refused(event: Event, reason: str, cause: str) -> None:
    log.error(
        "event.refused",
        id=event.id,
        source=event.source,
        type=event.type,
        subject=event.subject,
        tenant=event.tenant,
        reason=reason,
        cause=cause,
    )
