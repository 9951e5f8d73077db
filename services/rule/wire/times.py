"""Times and spans that may be absent."""

from __future__ import annotations

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.wire import duration, seconds, timestamp


def time_pb(value: float | None) -> Timestamp | None:
    """Returns epoch seconds as a Timestamp; None for None."""
    return None if value is None else timestamp(value)


def span_pb(value: float | None) -> Duration | None:
    """Returns seconds as a Duration; None for None."""
    return None if value is None else duration(value)


def given(message: Any, field: str) -> float | None:
    """Returns a Timestamp or Duration field in seconds; None if it is not set."""
    return seconds(getattr(message, field)) if message.HasField(field) else None
