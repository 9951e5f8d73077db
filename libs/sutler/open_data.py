"""The limits of open data that a service makes itself; of what comes in messages, validation checks the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from sutler.validation import MAX_OPEN_BYTES, MAX_OPEN_DEPTH
from sutler.wire import to_value

_FLAT = frozenset((str, int, float, bool, type(None)))

MAX_GROWTH = 6
"""How many bytes a byte of JSON can be as google.protobuf.Value: in a list of digits, two of JSON are eleven."""


def too_deep(value: Any, levels: int = MAX_OPEN_DEPTH) -> bool:
    """Returns whether more than ``levels`` objects and lists stand in each other in plain JSON data."""
    if type(value) in _FLAT:
        return False
    if isinstance(value, dict | Mapping):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return False
    if levels == 0:
        return True
    return any(too_deep(item, levels - 1) for item in value if type(item) not in _FLAT)


def too_large(value: Any, limit: int = MAX_OPEN_BYTES) -> bool:
    """Returns whether plain JSON data have more than ``limit`` bytes as google.protobuf.Value.

    Raises:
        TypeError: For what JSON does not know, and for more than 254 levels.
    """
    return len(orjson.dumps(value)) * MAX_GROWTH > limit and to_value(value).ByteSize() > limit
