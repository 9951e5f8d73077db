"""Writes the event that fired a rule into an HTTP request, as CloudEvents 1.0 has it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from services.rule.events import Event
from services.rule.http_requests import HttpRequest
from services.rule.values import ABSENT

STRUCTURED = "application/cloudevents+json"
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
"""What the HTTP binding of CloudEvents leaves as it is in a header."""


def carrying(do: HttpRequest, event: Event) -> HttpRequest:
    """Returns a request with the event in it, as ``do.event`` says."""
    content = event.content
    attributes = _attributes(event)
    own = {name: value for name, value in do.headers.items() if name.lower() != "content-type"}
    binary = "" if content.binary is None else base64.b64encode(content.binary).decode()
    has_data = content.data is not ABSENT
    if do.event == "binary":
        kind = content.datacontenttype or ("application/json" if has_data else "")
        headers = own | {f"ce-{name}": quote(value, safe=_PLAIN) for name, value in attributes.items()}
        headers |= {"content-type": kind} if kind else {}
        if isinstance(content.data, str) and "json" not in kind:
            return replace(do, headers=headers, text=content.data)
        data = content.data if has_data else None
        return replace(do, headers=headers, json=data, has_json=has_data, binary_data=binary)
    whole: dict[str, Any] = dict(attributes)
    if content.datacontenttype:
        whole["datacontenttype"] = content.datacontenttype
    if has_data:
        whole["data"] = content.data
    elif binary:
        whole["data_base64"] = binary
    return replace(do, headers={**own, "content-type": STRUCTURED}, json=whole, has_json=True)


def _attributes(event: Event) -> Mapping[str, str]:
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
        **content.extensions,
    }
    return {name: value for name, value in found.items() if value}
