"""Times and spans that may not be set."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.wire import duration, seconds, timestamp


def stamp(time: float | None) -> Timestamp | None:
    """Returns a time in seconds since 1970 as a Timestamp; None stays None."""
    return None if time is None else timestamp(time)


def span(length: float | None) -> Duration | None:
    """Returns a length in seconds as a Duration; None stays None."""
    return None if length is None else duration(length)


def length(message: Message, field: str) -> float | None:
    """Returns a Duration of a message in seconds; None if it is not set."""
    return seconds(getattr(message, field)) if message.HasField(field) else None
