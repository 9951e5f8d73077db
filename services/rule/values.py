"""JSON values: what expressions give as JSON, as text, and when two are the same."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Mapping
from typing import Any, Final

import orjson
from sutler.open_data import too_deep, too_large
from sutler.validation import MAX_OPEN_DEPTH

MAX_VALUE_BYTES = 1 << 20
"""The largest value of a property, data of an event, or all properties of a subject."""

MAX_REQUEST_LEVELS = MAX_OPEN_DEPTH + 8
"""How deep the request of a call may be: open data, in the messages of a contract."""

MAX_REQUEST_BYTES = 4 << 20

MAX_EXTRA_BYTES = 64 * 1024
"""The largest context beside the data of an event, and the largest headers of a request."""

MAX_ADDRESS_BYTES = 8 * 1024
"""The longest address of an HTTP request, as it is sent."""


class _Absent:
    """The type of :data:`ABSENT`."""

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()
"""Stands for a value that is not there; null is a value."""


def plain(value: Any) -> Any:
    """Returns a CEL value as JSON: times as RFC 3339, durations as ``1.5s``, bytes as base64, whole doubles as int."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) <= 2**53 else value
    if isinstance(value, Mapping):
        return {text(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, datetime.timedelta):
        return f"{value.total_seconds():.9f}".rstrip("0").rstrip(".") + "s"
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    return str(value)


def text(value: Any) -> str:
    """Returns a value as it is put into a text: strings as they are, all else as JSON."""
    value = plain(value)
    return value if isinstance(value, str) else encode(value)


def encode(value: Any) -> str:
    """Returns the JSON text of a value."""
    return orjson.dumps(value).decode()


def size(value: Any) -> int:
    """Returns how many bytes a value has as JSON."""
    return len(orjson.dumps(value))


def same(one: Any, other: Any) -> bool:
    """Returns whether two JSON values are equal; true is not 1, and the order of keys does not matter."""
    return orjson.dumps(plain(one), option=orjson.OPT_SORT_KEYS) == orjson.dumps(
        plain(other), option=orjson.OPT_SORT_KEYS
    )


def clipped(value: Any, limit: int) -> Any:
    """Returns a value, or ABSENT if it has more bytes than ``limit`` or is too deep to be shown."""
    return ABSENT if too_deep(value) or size(value) > limit else value


def exceeded(value: Any, limit: int, levels: int = MAX_OPEN_DEPTH) -> dict[str, str]:
    """Returns which limit of open data a value exceeds, as metadata of an error; empty if it keeps to all."""
    if too_deep(value, levels):
        return {"limit_levels": str(levels)}
    return {"limit_bytes": str(limit)} if too_large(value, limit) else {}
