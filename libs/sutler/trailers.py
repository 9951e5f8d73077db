"""Makes statuses fit into the trailers of a call."""

from __future__ import annotations

from typing import Any

import google.rpc.error_details_pb2 as details_pb2
from google.rpc.status_pb2 import Status

MAX_MESSAGE_BYTES = 512
MAX_STATUS_BYTES = 5 * 1024
"""Together they stay below the 8 KiB of metadata that gRPC takes by default: the message travels a second time beside
the status, and each of its bytes may need three there."""

MAX_TEXT_BYTES = 120

_INFO = "google.rpc.ErrorInfo"
_LISTS: dict[str, tuple[type[Any], str]] = {
    "google.rpc.BadRequest": (details_pb2.BadRequest, "field_violations"),
    "google.rpc.PreconditionFailure": (details_pb2.PreconditionFailure, "violations"),
    "google.rpc.QuotaFailure": (details_pb2.QuotaFailure, "violations"),
}


def sendable(status: Status) -> Status:
    """Returns a status that fits: one that does not would reach the caller as an error of gRPC's own.

    If it is too large, long texts are cut, then the last violations are left out; ``violations_omitted`` in the
    metadata of its ErrorInfo says how many.
    """
    if len(status.message.encode()) <= MAX_MESSAGE_BYTES and status.ByteSize() <= MAX_STATUS_BYTES:
        return status
    small = Status(code=status.code, message=_cut(status.message, MAX_MESSAGE_BYTES))
    for packed in status.details:
        small.details.add().CopyFrom(packed)
    _shorten(small)
    if small.ByteSize() > MAX_STATUS_BYTES:
        _leave_out(small)
    return small


def _shorten(status: Status) -> None:
    for packed in status.details:
        kind = packed.TypeName()
        if kind == _INFO:
            info = details_pb2.ErrorInfo.FromString(packed.value)
            for key, value in info.metadata.items():
                info.metadata[key] = _cut(value, MAX_TEXT_BYTES)
            packed.Pack(info)
        elif kind == "google.rpc.ResourceInfo":
            resource = details_pb2.ResourceInfo.FromString(packed.value)
            resource.description = _cut(resource.description, MAX_TEXT_BYTES)
            packed.Pack(resource)
        elif kind in _LISTS:
            message, field = _LISTS[kind]
            listed = message.FromString(packed.value)
            for violation in getattr(listed, field):
                violation.description = _cut(violation.description, MAX_TEXT_BYTES)
            packed.Pack(listed)


def _leave_out(status: Status) -> None:
    omitted = 0
    for packed in status.details:
        if packed.TypeName() not in _LISTS:
            continue
        message, field = _LISTS[packed.TypeName()]
        listed = message.FromString(packed.value)
        violations = getattr(listed, field)
        room = MAX_STATUS_BYTES - 64 - (status.ByteSize() - listed.ByteSize())
        while violations and listed.ByteSize() > room:
            del violations[-1]
            omitted += 1
        packed.Pack(listed)
    for packed in status.details:
        if packed.TypeName() == _INFO:
            info = details_pb2.ErrorInfo.FromString(packed.value)
            info.metadata["violations_omitted"] = str(omitted)
            packed.Pack(info)


def _cut(text: str, limit: int) -> str:
    raw = text.encode()
    return text if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"
