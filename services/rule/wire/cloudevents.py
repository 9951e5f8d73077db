"""CloudEvents 1.0 in JSON, as their SDKs post them: one in structured mode, or a batch."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import orjson
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.errors import Invalid, SutlerError, Violation, invalid_fields
from sutler.open_data import too_deep
from sutler.rule.v1 import rule_pb2 as pb
from sutler.validation import MAX_OPEN_DEPTH
from sutler.wire import to_value

from services.rule.events import Content
from services.rule.publishing import RESERVED
from services.rule.wire.events import content_from

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
MAX_EVENTS = 1000

_TEXTS = ("id", "source", "type", "subject", "datacontenttype", "dataschema")
_DATA = ("data", "data_base64")
_DELIVER = "deliver_time"
_DELIVER_EXTENSION = "delivertime"


def contents_of(body: HttpBody) -> Sequence[Content | SutlerError]:
    """Returns what the events of a post say, each or why it is refused.

    Raises:
        Invalid: If the content type is another one (CONTENT_TYPE_UNSUPPORTED), or the post as a whole is no CloudEvents
            JSON (EVENT_INVALID).
    """
    kind = body.content_type.partition(";")[0].strip().lower()
    if kind not in (STRUCTURED, BATCH):
        raise Invalid(
            f"content type {body.content_type!r} is not read; send {STRUCTURED} or {BATCH}",
            reason="CONTENT_TYPE_UNSUPPORTED",
            metadata={"content_type": body.content_type},
        )
    try:
        posted = orjson.loads(body.data)
    except orjson.JSONDecodeError as error:
        raise event_invalid(0, "", f"the post is no JSON: {error}") from error
    if kind == STRUCTURED:
        return [_content(0, posted)]
    if not isinstance(posted, list):
        raise event_invalid(0, "", "a batch is a JSON array of events")
    if not 0 < len(posted) <= MAX_EVENTS:
        raise event_invalid(0, "", f"a batch has 1 to {MAX_EVENTS} events")
    return [_content(index, event) for index, event in enumerate(posted)]


def event_invalid(index: int, attribute: str, description: str) -> Invalid:
    """Returns the error for an event that is no CloudEvents 1.0 JSON."""
    field = f"events[{index}]{'.' if attribute else ''}{attribute}"
    return Invalid(
        f"{field}: {description}",
        reason="EVENT_INVALID",
        metadata={"index": str(index), "attribute": attribute},
        violations=[Violation(field, description, "EVENT_INVALID")],
    )


def _content(index: int, event: Any) -> Content | SutlerError:
    try:
        return content_from(_message(index, event))
    except Invalid as error:
        return error


def _message(index: int, event: Any) -> pb.Event:
    if not isinstance(event, dict):
        raise event_invalid(index, "", "an event is a JSON object")
    if event.get("specversion") != "1.0":
        raise event_invalid(index, "specversion", 'must be "1.0"')
    message = pb.Event()
    for name in _TEXTS:
        if event.get(name) is not None:
            setattr(message, name, _text(index, name, event[name]))
    if event.get("time") is not None:
        message.time.CopyFrom(_time(index, "time", event["time"]))
    _put_data(index, event, message)
    for name, value in event.items():
        if name not in (*_TEXTS, *_DATA, "time", "specversion") and value is not None:
            message.extensions[name] = _extension(index, name, value)
    if _DELIVER_EXTENSION in message.extensions:
        delivery = _time(index, _DELIVER_EXTENSION, message.extensions[_DELIVER_EXTENSION])
        message.deliver_time.CopyFrom(delivery)
    return message


def _put_data(index: int, event: dict[str, Any], message: pb.Event) -> None:
    if "data_base64" in event:
        if "data" in event:
            raise event_invalid(index, "data_base64", "an event has data or data_base64, not both")
        try:
            message.binary_data = base64.b64decode(_text(index, "data_base64", event["data_base64"]), validate=True)
        except binascii.Error as error:
            raise event_invalid(index, "data_base64", f"is no base64: {error}") from error
    elif "data" in event:
        if too_deep(event["data"]):  # told as of any other event; it could not even be made one
            raise invalid_fields([Violation("data", f"has more than {MAX_OPEN_DEPTH} levels", "TOO_DEEP")])
        message.data.CopyFrom(to_value(event["data"]))


def _text(index: int, name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise event_invalid(index, name, "must be a string")
    return value


def _extension(index: int, name: str, value: Any) -> str:
    if name in RESERVED or not (name.isascii() and name.isalnum() and name == name.lower()):
        raise event_invalid(index, name, "the name of an extension attribute has lower case letters and digits only")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and -(2**31) <= value < 2**31:
        return str(value)
    if isinstance(value, str):
        return value
    raise event_invalid(index, name, "an extension attribute is a string, a bool or a whole number of 32 bits")


def _time(index: int, name: str, value: Any) -> Timestamp:
    time = Timestamp()
    try:
        time.FromJsonString(_text(index, name, value))
    except ValueError as error:
        raise event_invalid(index, name, "is no RFC 3339 time") from error
    return time
