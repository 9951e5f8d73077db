"""Pulls messages from a durable consumer as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import orjson
from nats.aio.msg import Msg
from nats.errors import Error
from nats.js import JetStreamContext
from nats.js.api import StatusCode
from sutler.errors import Unavailable

from services.rule.adapters.nats.link import Link

EXPIRE_SECONDS = 10.0
HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS = 3 * HEARTBEAT_SECONDS
"""After how long without a heartbeat a request counts as lost, as it is when the server has been started again."""

NANO = 1_000_000_000


class Pull:
    """Requests messages and gives what has come; unlike ``fetch`` of the client library it waits for no full batch.

    Args:
        link: The connection.
        inbox: The subject to which messages are sent.
        come: What has been sent there.
        stream: The stream.
        durable: The consumer.
    """

    def __init__(self, link: Link, inbox: str, come: asyncio.Queue[Msg], stream: str, durable: str) -> None:
        self._link = link
        self._inbox = inbox
        self._come = come
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{durable}"
        self._wanted = 0

    async def next(self, limit: int) -> list[Msg]:
        """Returns the next messages in order as soon as there is one; none if none came for some seconds.

        Raises:
            Unavailable: If the server says nothing, or has no such consumer.
        """
        with self._link.translated():
            if not self._wanted:
                await self._request(limit)
            found: list[Msg] = []
            while self._wanted and not (found and self._come.empty()):
                async with asyncio.timeout(SILENCE_SECONDS):
                    message = await self._come.get()
                status = JetStreamContext.is_status_msg(message)
                if not status:
                    found.append(message)
                    self._wanted -= 1
                elif status != StatusCode.CONTROL_MESSAGE:
                    self._end(status, message)
            return found

    async def _request(self, limit: int) -> None:
        request = {
            "batch": limit,
            "expires": int(EXPIRE_SECONDS * NANO),
            "idle_heartbeat": int(HEARTBEAT_SECONDS * NANO),
        }
        self._link.require()
        await self._link.client.publish(self._subject, orjson.dumps(request), self._inbox)
        self._wanted = limit

    def _end(self, status: str, message: Msg) -> None:
        self._wanted = 0
        if status not in (StatusCode.NO_MESSAGES, StatusCode.REQUEST_TIMEOUT):
            why = (message.headers or {}).get("Description", "")
            raise Unavailable(f"NATS ends a pull with {status} {why}", metadata={"dependency": "nats"})


@asynccontextmanager
async def pulling(link: Link, stream: str, durable: str) -> AsyncIterator[Pull]:
    """Pulls from a consumer until the block ends."""
    client, come = link.client, asyncio.Queue[Msg]()
    inbox = client.new_inbox()
    with link.translated():
        subscription = await client.subscribe(inbox, cb=come.put)
    try:
        yield Pull(link, inbox, come, stream, durable)
    finally:
        with suppress(Error, OSError, TimeoutError):
            await subscription.unsubscribe()
