"""Consumes NATS subjects as sources of events: a message is done with when its event is durable here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import structlog
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, StorageType, StreamConfig
from nats.js.errors import NotFoundError
from sutler.errors import Internal, SutlerError
from sutler.store import Database
from sutler.store.holding import Lease, lead

from services.rule.adapters.nats.link import Link
from services.rule.adapters.nats.pulling import pulling
from services.rule.adapters.nats.stream import Place, ensure_stream
from services.rule.events import Content
from services.rule.sourcing import Arrival, Source, Sourcing
from services.rule.wire.messages import content_of, legible

log = structlog.get_logger("sutler.rule")

LEASE = "rule/nats/sources/"
BATCH = 50
ACK_SECONDS = 5.0
"""After how long a message comes again that nobody said to be done with."""


class Consumer:
    """Consumes one source, in one process at a time, so that the order of its messages is kept.

    Args:
        database: Where the lease is.
        link: The connection.
        place: The installation's own stream; the names of consumers begin with its name.
        source: What is consumed.
        sourcing: Accepts the events.
        lease_seconds: After how long another process takes over.
    """

    def __init__(
        self, database: Database, link: Link, place: Place, source: Source, sourcing: Sourcing, lease_seconds: float
    ) -> None:
        self._database = database
        self._link = link
        self._place = place
        self._source = source
        self._sourcing = sourcing
        self._ttl = timedelta(seconds=lease_seconds)

    async def run(self) -> None:
        """Consumes until cancelled."""
        await lead(self._database, LEASE + self._source.name, self._told, ttl=self._ttl)

    async def _told(self, lease: Lease) -> None:
        with self._link.telling(f"source {self._source.name}"):
            await self._consume()

    async def _consume(self) -> None:
        js = await self._link.connected()
        durable = f"{self._place.stream}-{self._source.name}"
        with self._link.translated():
            stream = await self._stream(js)
            config = ConsumerConfig(
                durable_name=durable,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_SECONDS,
                max_deliver=-1,
                filter_subject=self._source.subject,
            )
            info = await js.add_consumer(stream, config)
        self._link.well(f"source {self._source.name}")
        if info.num_ack_pending:
            # What an earlier holder got and did not finish comes again after this time, before anything newer.
            await asyncio.sleep(ACK_SECONDS)
        async with pulling(self._link, stream, durable) as pull:
            while True:
                messages = await pull.next(BATCH)
                if messages:
                    await self._take(messages)

    async def _take(self, messages: Sequence[Msg]) -> None:
        await self._sourcing.take(self._source, [_arrival(message) for message in messages])
        for message in messages:
            with self._link.translated():
                await message.ack()

    async def _stream(self, js: JetStreamContext) -> str:
        if self._source.stream:
            return self._source.stream
        try:
            return await js.find_stream_name_by_subject(self._source.subject)
        except NotFoundError:
            name = f"{self._place.stream}_{self._source.name}"
            await ensure_stream(
                js,
                StreamConfig(
                    name=name,
                    subjects=[self._source.subject],
                    storage=StorageType.FILE,
                    max_age=self._place.max_age.total_seconds(),
                ),
            )
            return name


def _arrival(message: Msg) -> Arrival:
    metadata = message.metadata
    return Arrival(
        _row(message),
        f"{metadata.stream}/{metadata.sequence.stream}/{metadata.timestamp.isoformat()}",
        {"stream": metadata.stream, "sequence": str(metadata.sequence.stream), "subject": message.subject},
        lambda: legible(message.headers or {}, message.data),
    )


def _row(message: Msg) -> Content | SutlerError:
    try:
        return content_of(message.headers or {}, message.data)
    except Exception as error:  # a fault of the program: it must not stop what follows
        log.error("rule.message_broken", subject=message.subject, exc_info=error)
        return Internal("the message could not be read; the server's log tells why")
