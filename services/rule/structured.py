"""Accepted events as CloudEvents 1.0, as others get them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from services.rule.events import Event
from services.rule.values import ABSENT


def attributes(event: Event) -> Mapping[str, str]:
    """Returns the attributes that an event has, extensions included, without the type of its data."""
    content = event.content
    happened = event.create_time if content.time is None else content.time
    found = {
        "specversion": "1.0",
        "id": content.id,
        "source": content.source,
        "type": content.type,
        "subject": content.subject,
        "time": datetime.fromtimestamp(happened, UTC).isoformat().replace("+00:00", "Z"),
        "dataschema": content.dataschema,
    }
    return {**{name: value for name, value in found.items() if value}, **content.extensions}


def cloud_event(event: Event) -> dict[str, Any]:
    """Returns an event in structured mode."""
    content = event.content
    told: dict[str, Any] = dict(attributes(event))
    if content.datacontenttype:
        told["datacontenttype"] = content.datacontenttype
    if content.data is not ABSENT:
        told["data"] = content.data
    elif content.binary is not None:
        told["data_base64"] = base64.b64encode(content.binary).decode()
    return told


def without_data(event: Event) -> dict[str, Any]:
    """Returns an event without its data, with the name under which they can be got: the extension ``dataref``."""
    told = cloud_event(event)
    return {name: value for name, value in told.items() if name not in ("data", "data_base64")} | {
        "dataref": event.name
    }
