"""Subjects and events for code outside of handlers: each write is committed before it returns."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sutler.client import Sutler
from sutler.client.rules.facts import Read
from sutler.client.rules.subjects import Subject, Write
from sutler.errors import Conflict, NotFound
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status
from sutler.wire import put_duration, put_struct, to_value

T = TypeVar("T")

MAX_RACES = 50
"""How often a write with a function is tried again because another one was faster."""


class DirectSubject(Subject):
    """A subject whose writes are committed at once; one with a function is tried again until no other came between."""

    def __init__(self, id: str, read: Read, write: Write) -> None:
        super().__init__(id, read, write)
        self._one_by_one = asyncio.Lock()

    async def _changing(self, change: Callable[[], Awaitable[T]]) -> T:
        async with self._one_by_one:
            return await self._committed(change)

    async def _committed(self, change: Callable[[], Awaitable[T]]) -> T:
        for race in range(MAX_RACES + 1):
            try:
                result = await change()
                await self.flush()
                return result
            except Conflict as error:
                self.forget()
                if error.reason != "REVISION_MISMATCH" or race == MAX_RACES:
                    raise
            except BaseException:
                self.forget()
                raise
        raise AssertionError("unreachable")


def subject(s: Sutler, id: str) -> Subject:
    """Returns a subject for code outside of handlers.

    Args:
        s: A connection.
        id: The subject of events, such as ``order/7``.
    """

    async def write(update: pb.SubjectUpdate) -> pb.Subject:
        return await s.rules.UpdateSubject(request(update))

    return DirectSubject(id, reader(s), write)


def reader(s: Sutler) -> Callable[[str], Awaitable[pb.Subject | None]]:
    """Returns what reads subjects over a connection."""

    async def read(name: str) -> pb.Subject | None:
        try:
            return await s.rules.GetSubject(pb.GetSubjectRequest(name=name))
        except NotFound:
            return None

    return read


def request(update: pb.SubjectUpdate, **fields: Any) -> pb.UpdateSubjectRequest:
    """Returns the call that commits a change; ``fields`` are more of its fields."""
    made = pb.UpdateSubjectRequest(allow_missing=True, writes=update.writes, extra=update.extra, **fields)
    made.subject.name = update.subject
    if update.HasField("ttl"):
        made.subject.ttl.CopyFrom(update.ttl)
    if update.HasField("expected_revision"):
        made.expected_revision = update.expected_revision
    return made


async def emit(
    s: Sutler,
    event_type: str,
    payload: Any = None,
    subject: str = "",
    *,
    source: str = "/client",
    id: str = "",
    wait: float = 0.0,
    **extra: Any,
) -> str:
    """Publishes an event and returns its name; it is on disk then.

    Args:
        s: A connection.
        event_type: Its type.
        payload: Its data: what JSON knows, or bytes.
        subject: The id of its subject.
        source: Who publishes, and
        id: what tells the event from the source's others: a repeat of both makes no second event.
        wait: Seconds to wait at the most, up to 300, until all that the event causes has ended.
        **extra: Context beside the data.

    Raises:
        SutlerError: What the event is refused with.
    """
    event = pb.Event(id=id or str(uuid.uuid4()), source=source, type=event_type, subject=subject)
    if isinstance(payload, bytes):
        event.binary_data = payload
    elif payload is not None:
        event.data.CopyFrom(to_value(payload))
    put_struct(event.extra, extra)
    request = pb.BatchPublishEventsRequest(events=[event], wait=wait > 0)
    if wait:
        put_duration(request.wait_timeout, wait)
    answer = await s.rules.BatchPublishEvents(request, timeout=wait + 30)
    (result,) = answer.results
    if not result.event:
        raise from_status(result.status)
    return result.event
