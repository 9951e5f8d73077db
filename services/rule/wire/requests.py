"""The HTTP requests of rules."""

from __future__ import annotations

from typing import Any, Literal

from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import from_value, to_value

from services.rule.http_requests import HttpRequest
from services.rule.wire.times import given, span_pb

_MODES: dict[int, Literal["", "structured", "binary"]] = {
    pb.HttpRequest.EVENT_MODE_STRUCTURED: "structured",
    pb.HttpRequest.EVENT_MODE_BINARY: "binary",
}
_DEFAULT = "POST"


def request_from(message: pb.HttpRequest) -> HttpRequest:
    """Returns an HTTP request of a rule."""
    method = pb.HttpRequest.Method.Name(message.method).removeprefix("METHOD_") if message.method else _DEFAULT
    body = message.WhichOneof("body")
    return HttpRequest(
        message.uri,
        method,
        dict(message.headers),
        json=from_value(message.json) if body == "json" else None,
        has_json=body == "json",
        text=message.text if body == "text" else None,
        event=_MODES[message.event] if body == "event" else "",
        signing_key=message.signing_key,
        timeout=given(message, "timeout"),
    )


def request_pb(do: HttpRequest) -> pb.HttpRequest:
    """Returns an HTTP request of a rule as the API shows it."""
    body: dict[str, Any] = {}
    if do.event:
        body["event"] = next(number for number, mode in _MODES.items() if mode == do.event)
    elif do.has_json:
        body["json"] = to_value(do.json)
    elif do.text is not None:
        body["text"] = do.text
    return pb.HttpRequest(
        method=pb.HttpRequest.Method.Value(f"METHOD_{do.method}"),
        uri=do.uri,
        headers=do.headers,
        signing_key=do.signing_key,
        timeout=span_pb(do.timeout),
        **body,
    )
