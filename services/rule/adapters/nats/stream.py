"""The stream that carries accepted events, and the messages in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

import xxhash
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, RetentionPolicy, StorageType, StreamConfig
from nats.js.errors import BadRequestError, NotFoundError
from sutler.errors import Unavailable

from services.rule.events import Event

WORKERS = "workers"
ACK_SECONDS = 3.0
"""After how long a message is handed to another process if nobody says that it is done with."""

NUMBER = "Sutler-Number"
EVENT = "Sutler-Event"
EXECUTIONS = "Sutler-Executions"
MESSAGE_ID = "Nats-Msg-Id"
EXPECTED_SEQUENCE = "Nats-Expected-Last-Sequence"
CONTENT_TYPE = "Content-Type"

MAX_TOKEN = 800
"""The longest type has 256 characters, each three if it is not a plain one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where events are in NATS.

    Attributes:
        stream: The name of the stream.
        prefix: What the subjects of its messages begin with.
        max_age: How long messages are kept, where the stream is made by us.
    """

    stream: str
    prefix: str
    max_age: timedelta

    @property
    def subjects(self) -> str:
        """The subjects of all messages."""
        return f"{self.prefix}.>"

    def subject(self, event: Event) -> str:
        """Returns the subject of an event: prefix, tenant and type."""
        tokens = (event.tenant, *event.content.type.split("."))
        return ".".join((self.prefix, *map(token, tokens)))

    async def open(self, js: JetStreamContext) -> None:
        """Makes the stream unless it is there; one that is there stays as its operator wants it."""
        await ensure_stream(
            js,
            StreamConfig(
                name=self.stream,
                subjects=[self.subjects],
                retention=RetentionPolicy.LIMITS,
                storage=StorageType.FILE,
                max_age=self.max_age.total_seconds(),
            ),
        )

    async def open_workers(self, js: JetStreamContext) -> None:
        """Makes the consumer that hands out work."""
        await self.open(js)
        await js.add_consumer(
            self.stream,
            ConsumerConfig(
                durable_name=WORKERS,
                ack_policy=AckPolicy.EXPLICIT,
                ack_wait=ACK_SECONDS,
                max_deliver=-1,
                headers_only=True,
            ),
        )

    async def last(self, js: JetStreamContext) -> tuple[int, int]:
        """Returns the sequence of the last message and the number of its event; 0 for an event if there is none."""
        state = (await js.stream_info(self.stream)).state
        if not state.messages:
            return state.last_seq, 0
        try:
            message = await js.get_last_msg(self.stream, self.subjects)
        except NotFoundError:  # removed meanwhile
            return state.last_seq, 0
        number = (message.headers or {}).get(NUMBER, "")
        if not number.isdecimal() or message.seq is None:
            raise Unavailable(
                f"the last message of stream {self.stream} is none of RuleService's: set nats_stream and nats_prefix "
                "to a stream and subjects that nobody else uses, or remove the message",
                metadata={"dependency": "nats", "stream": self.stream},
            )
        return message.seq, int(number)


def token(text: str) -> str:
    """Returns a text as one token of a subject: with percent signs where NATS would not take it, and not too long."""
    quoted = quote(text, safe="").replace(".", "%2E") or "%"
    return quoted if len(quoted) <= MAX_TOKEN else f"{quoted[:MAX_TOKEN]}%{xxhash.xxh3_64_hexdigest(text.encode())}"


def headers_of(event: Event, expected: int) -> Mapping[str, str]:
    """Returns the headers of the message of an event.

    Args:
        event: The event.
        expected: The sequence of the message before it; the server refuses it behind any other one.
    """
    return {
        CONTENT_TYPE: "application/cloudevents+json",
        MESSAGE_ID: event.name,
        EXPECTED_SEQUENCE: str(expected),
        NUMBER: str(event.seq),
        EVENT: event.name,
        EXECUTIONS: str(event.execution_count),
    }


async def ensure_stream(js: JetStreamContext, config: StreamConfig) -> None:
    """Makes a stream unless there is one of that name."""
    assert config.name is not None
    try:
        await js.stream_info(config.name)
    except NotFoundError:
        try:
            await js.add_stream(config)
        except BadRequestError:  # another process has made it meanwhile, or its subjects are another stream's
            await js.stream_info(config.name)
