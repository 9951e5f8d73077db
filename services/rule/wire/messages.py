"""CloudEvents 1.0 in messages of a queue: in structured mode, or in binary mode with attributes as headers ``ce-…``."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import orjson
from google.api.httpbody_pb2 import HttpBody
from sutler.errors import SutlerError
from sutler.open_data import too_deep

from services.rule.events import Content
from services.rule.wire.cloudevents import STRUCTURED, contents_of, event_invalid

ATTRIBUTE = "ce-"
CONTENT_TYPE = "content-type"
CLOUD_EVENTS = "application/cloudevents"

MAX_LEGIBLE_BYTES = 16 * 1024
MAX_LEGIBLE_LEVELS = 12
MAX_ATTRIBUTES = 32
MAX_ATTRIBUTE_LETTERS = 256


def content_of(headers: Mapping[str, str], body: bytes) -> Content | SutlerError:
    """Returns what the event in a message says, or why it is refused.

    Args:
        headers: Its headers, by names in any case. Without ``ce-`` ones and content type it is read as structured.
        body: Its payload.
    """
    try:
        kind, payload = _structured(headers, body)
        return contents_of(HttpBody(content_type=kind, data=payload))[0]
    except SutlerError as error:
        return error


def legible(headers: Mapping[str, str], body: bytes) -> Mapping[str, Any]:
    """Returns as much of a refused event as can be read and told: attributes, and data that are not large."""
    try:
        posted = orjson.loads(_structured(headers, body)[1])
    except (SutlerError, orjson.JSONDecodeError):
        return {}
    if not isinstance(posted, dict):
        return {}
    texts = [(name, value) for name, value in posted.items() if isinstance(value, str) and name != "data"]
    told: dict[str, Any] = {
        name[:MAX_ATTRIBUTE_LETTERS]: value[:MAX_ATTRIBUTE_LETTERS] for name, value in texts[:MAX_ATTRIBUTES]
    }
    data = posted.get("data")
    if data is not None and not too_deep(data, MAX_LEGIBLE_LEVELS) and len(orjson.dumps(data)) <= MAX_LEGIBLE_BYTES:
        told["data"] = data
    return told


def _structured(headers: Mapping[str, str], body: bytes) -> tuple[str, bytes]:
    """Returns the content type and JSON of a message in structured mode."""
    given = {name.lower(): value for name, value in headers.items()}
    kind = given.get(CONTENT_TYPE, "").strip()
    attributes = {name.removeprefix(ATTRIBUTE): unquote(value) for name, value in given.items() if _is_ours(name)}
    if not attributes or kind.lower().startswith(CLOUD_EVENTS):
        return kind if kind.lower().startswith(CLOUD_EVENTS) else STRUCTURED, body
    event: dict[str, Any] = dict(attributes)
    if kind:
        event["datacontenttype"] = kind
    if body:
        event |= _data(kind or "application/json", body)
    return STRUCTURED, orjson.dumps(event)


def _is_ours(name: str) -> bool:
    return name.startswith(ATTRIBUTE)


def _data(kind: str, body: bytes) -> dict[str, Any]:
    media = kind.partition(";")[0].strip().lower()
    if media.endswith(("/json", "+json")):
        try:
            return {"data": orjson.loads(body)}
        except orjson.JSONDecodeError as error:
            raise event_invalid(0, "data", f"is no JSON, as its content type {media} says: {error}") from error
    if media.startswith("text/"):
        try:
            return {"data": body.decode()}
        except UnicodeDecodeError:
            pass
    return {"data_base64": base64.b64encode(body).decode()}
