"""Writes the event that fired a rule into an HTTP request, as CloudEvents 1.0 has it."""

from __future__ import annotations

import base64
from dataclasses import replace
from urllib.parse import quote

from services.rule.events import Event
from services.rule.http_requests import HttpRequest
from services.rule.structured import attributes, cloud_event
from services.rule.values import ABSENT

STRUCTURED = "application/cloudevents+json"
_PLAIN = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
"""What the HTTP binding of CloudEvents leaves as it is in a header."""


def carrying(do: HttpRequest, event: Event) -> HttpRequest:
    """Returns a request with the event in it, as ``do.event`` says."""
    content = event.content
    own = {name: value for name, value in do.headers.items() if name.lower() != "content-type"}
    if do.event == "binary":
        has_data = content.data is not ABSENT
        binary = "" if content.binary is None else base64.b64encode(content.binary).decode()
        kind = content.datacontenttype or ("application/json" if has_data else "")
        headers = own | {f"ce-{name}": quote(value, safe=_PLAIN) for name, value in attributes(event).items()}
        headers |= {"content-type": kind} if kind else {}
        if isinstance(content.data, str) and "json" not in kind:
            return replace(do, headers=headers, text=content.data)
        data = content.data if has_data else None
        return replace(do, headers=headers, json=data, has_json=has_data, binary_data=binary)
    return replace(do, headers={**own, "content-type": STRUCTURED}, json=cloud_event(event), has_json=True)
