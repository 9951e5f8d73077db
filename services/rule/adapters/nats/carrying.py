"""Carries accepted events from the database into the stream: each once, in the order in which they were accepted.

The last message tells how far it has come, so there is no position that could differ from it. A stream that is empty,
as it is new or was lost, is filled with all events that are kept.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import orjson
import structlog
from nats.js import JetStreamContext
from nats.js.errors import APIError
from sutler.errors import Unavailable
from sutler.store import Database
from sutler.store.holding import Lease, lead

from services.rule.adapters.database.carried import events_after
from services.rule.adapters.nats.link import Link
from services.rule.adapters.nats.stream import Place, headers_of
from services.rule.events import Event
from services.rule.structured import cloud_event, without_data

log = structlog.get_logger("sutler.rule")

LEASE = "rule/nats/events"
WORK = "carrying events"
BATCH = 100
IDLE_SECONDS = 30.0
HEADER_BYTES = 4096
"""Room for headers and subject in what the server takes as one message."""


class Carrier:
    """Carries events while this process holds the lease for it.

    Args:
        database: Where they are accepted.
        link: The connection.
        place: Where they go.
        lease_seconds: After how long another process takes over.
    """

    def __init__(self, database: Database, link: Link, place: Place, lease_seconds: float) -> None:
        self._database = database
        self._link = link
        self._place = place
        self._ttl = timedelta(seconds=lease_seconds)

    async def run(self) -> None:
        """Carries until cancelled."""
        await lead(self._database, LEASE, self._told, ttl=self._ttl)

    async def _told(self, lease: Lease) -> None:
        with self._link.telling(WORK):
            await self._carry()

    async def _carry(self) -> None:
        js = await self._link.connected()
        with self._link.translated():
            await self._place.open(js)
            sequence, number = await self._place.last(js)
        while True:
            seen = self._database.changes.generation
            events = await self._database.read(lambda tx, number=number: events_after(tx, number, BATCH))  # type: ignore[misc]
            self._link.well(WORK)
            if not events:
                await self._database.changes.wait(IDLE_SECONDS, since=seen)
                continue
            with self._link.translated():
                sequence = await self._send(js, events, sequence)
            number = events[-1].seq

    async def _send(self, js: JetStreamContext, events: Sequence[Event], sequence: int) -> int:
        """Sends events without waiting for each, and returns the sequence of the last; in order, or not at all.

        Raises:
            Unavailable: If the last message is not the one that was expected: another process carries, or did.
        """
        sending = [
            asyncio.create_task(
                js.publish(
                    self._place.subject(event),
                    self._payload(event),
                    stream=self._place.stream,
                    headers=dict(headers_of(event, expected)),
                )
            )
            for expected, event in enumerate(events, sequence)
        ]
        results = await asyncio.gather(*sending, return_exceptions=True)
        for result in results:
            if isinstance(result, APIError):
                raise Unavailable(
                    f"NATS refuses an event: {result.description}", metadata={"dependency": "nats"}
                ) from result
            if isinstance(result, BaseException):
                raise result
        return sequence + len(events)

    def _payload(self, event: Event) -> bytes:
        payload = orjson.dumps(cloud_event(event))
        if len(payload) + HEADER_BYTES > self._link.client.max_payload:
            return orjson.dumps(without_data(event))
        return payload
