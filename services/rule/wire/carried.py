"""Accepted events as CloudEvents JSON, as others get them."""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sutler.wire import timestamp

from services.rule.events import Event
from services.rule.values import ABSENT


def cloud_event(event: Event) -> dict[str, Any]:
    """Returns an event in the structured mode of CloudEvents 1.0."""
    content = event.content
    told: dict[str, Any] = {
        "specversion": "1.0",
        "id": content.id,
        "source": content.source,
        "type": content.type,
        "subject": content.subject or None,
        "time": _text(timestamp(content.time if content.time is not None else event.create_time)),
        "datacontenttype": content.datacontenttype or None,
        "dataschema": content.dataschema or None,
        **content.extensions,
    }
    if content.binary is not None:
        told["data_base64"] = base64.b64encode(content.binary).decode()
    elif content.data is not ABSENT:
        told["data"] = content.data
    return {name: value for name, value in told.items() if value is not None or name == "data"}


def without_data(told: dict[str, Any], event: Event) -> dict[str, Any]:
    """Returns an event without its data, with the name under which they can be got: the extension ``dataref``."""
    rest = {name: value for name, value in told.items() if name not in ("data", "data_base64")}
    return {**rest, "dataref": event.name}


def _text(time: Timestamp) -> str:
    return time.ToJsonString()
