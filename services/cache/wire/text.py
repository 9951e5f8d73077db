"""What contracts cannot say of texts and of JSON."""

from __future__ import annotations

import math
from typing import Any

import orjson
from google.protobuf.struct_pb2 import Struct, Value
from sutler.errors import invalid
from sutler.validation import MAX_OPEN_BYTES
from sutler.wire import from_struct, from_value

from services.cache.faults import value_too_large


def checked_text(field: str, text: str) -> str:
    """Returns a text that every store takes.

    Raises:
        Invalid: If it holds U+0000, which PostgreSQL does not.
    """
    if "\0" in text:
        raise invalid(field, "holds the character U+0000", reason="NUL_CHARACTER")
    return text


def json_text(field: str, data: Struct | Value) -> bytes:
    """Returns open data as JSON.

    Raises:
        Invalid: If a number in it is not finite, for JSON has no such numbers, or the text is over 1 MiB (TOO_LARGE).
    """
    plain = from_struct(data) if isinstance(data, Struct) else from_value(data)
    if not _finite(plain):
        raise invalid(field, "holds a number that is not finite, which JSON does not know", reason="NOT_FINITE")
    text = orjson.dumps(plain)
    if len(text) > MAX_OPEN_BYTES:
        raise value_too_large(field, len(text), MAX_OPEN_BYTES)
    return text


def _finite(data: Any) -> bool:
    if isinstance(data, float):
        return math.isfinite(data)
    if isinstance(data, dict):
        return all(map(_finite, data.values()))
    return not isinstance(data, list) or all(map(_finite, data))
