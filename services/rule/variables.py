"""The variables of expressions: which there are, and their values for one event."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sutler.expressions import Environment, Fields, Kind

from services.rule.events import PROPERTY_CHANGED, PROPERTY_DELETED, Event
from services.rule.values import ABSENT

EVENT: Fields = {
    "id": "string",
    "source": "string",
    "type": "string",
    "subject": "string",
    "time": "timestamp",
    "datacontenttype": "string",
    "dataschema": "string",
    "extensions": "map",
    "data": "dyn",
}
"""The attributes of an event; naming another one does not compile."""

_CONDITION: dict[str, Kind | Fields] = {
    "event": EVENT,
    "payload": "dyn",
    "subject": "dyn",
    "old_value": "dyn",
    "new_value": "dyn",
    "extra": "map",
}

CONDITIONS = Environment(_CONDITION)
"""For ``when``."""

ACTIONS = Environment({**_CONDITION, "results": "map"})
"""For templates and delays."""

COMMITS = Environment({**_CONDITION, "results": "map", "old": "dyn"})
"""For the expressions of properties, which are evaluated when an execution commits."""

WRITES = Environment({"old": "dyn", "subject": "dyn"})
"""For the expressions in UpdateSubject."""

TICKS = Environment({"tick": "timestamp", "schedule": "string"})
"""For the templates of schedules."""


def of_event(event: Event) -> dict[str, Any]:
    """Returns the values of all variables that an event gives, in plain Python."""
    content = event.content
    data = None if content.data is ABSENT else content.data
    told = data if isinstance(data, Mapping) and content.type in (PROPERTY_CHANGED, PROPERTY_DELETED) else {}
    happened = event.create_time if content.time is None else content.time
    return {
        "event": {
            "id": content.id,
            "source": content.source,
            "type": content.type,
            "subject": content.subject,
            "time": datetime.fromtimestamp(happened, UTC),
            "datacontenttype": content.datacontenttype,
            "dataschema": content.dataschema,
            "extensions": dict(content.extensions),
            "data": data,
        },
        "payload": data,
        "extra": dict(content.extra),
        "old_value": told.get("old_value"),
        "new_value": told.get("new_value"),
    }
