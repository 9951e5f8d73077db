"""What a policy may set a field to: what the contract lets a caller write there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

SETTABLE = ("display_name", "location", "properties", "tags")
"""The fields that a policy may set, or something in them."""

MAX_TAGS = 64
MAX_TEXT_BYTES = 256

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")
_LOCATION = re.compile(r"locations/[A-Za-z][A-Za-z0-9._-]{0,62}")


def unsettable(field: str) -> str:
    """Returns why a field cannot be set; empty if it can."""
    head, _, rest = field.partition(".")
    if head not in SETTABLE or (head in ("properties", "tags")) != bool(rest) or "[" in field:
        return "must be display_name, location, properties.… or tags.…, without list items"
    if head == "tags" and not _TAG.fullmatch(rest):
        return "is not the key of a tag"
    if head == "properties" and not all(rest.split(".")):
        return "has an empty key"
    return ""


def unfit(field: str, value: Any) -> str:
    """Returns why a field that can be set cannot take a value; empty if it can."""
    head = field.partition(".")[0]
    if head == "properties":
        return "" if _is_json(value) else f"{field} takes JSON"
    if not isinstance(value, str):
        return f"{field} takes a string, not {type(value).__name__}"
    if len(value.encode()) > MAX_TEXT_BYTES or "\0" in value:
        return f"{field} takes at most {MAX_TEXT_BYTES} bytes without U+0000"
    if head == "location" and not _LOCATION.fullmatch(value):
        return f"{field} takes the name of a location"
    return ""


def _is_json(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and _is_json(item) for name, item in value.items())
    return value is None or isinstance(value, bool | int)
