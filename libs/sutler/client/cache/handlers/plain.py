"""Handlers of bytes, text and JSON."""

from __future__ import annotations

from math import isfinite
from typing import Any

import orjson

from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers.base import Buffer, CacheHandler, Encoded

MAX_LEVELS = 200
"""How deep JSON may be nested; orjson takes 254 levels."""


class BytesHandler(CacheHandler):
    """``bytes`` as they are."""

    data_type = "bytes"
    quick = True

    def can_handle(self, value: object) -> bool:
        """See the base class."""
        return type(value) is bytes

    def encode(self, value: bytes) -> Encoded:
        """See the base class."""
        return Encoded((value,))

    def decode(self, data: Buffer, entry: CacheEntry) -> bytes:
        """See the base class."""
        return bytes(data)

    def copy(self, value: bytes) -> bytes:
        """See the base class."""
        return value


class TextHandler(CacheHandler):
    """``str`` as UTF-8."""

    data_type = "text"
    quick = True
    content_type = "text/plain; charset=utf-8"

    def can_handle(self, value: object) -> bool:
        """See the base class."""
        return type(value) is str and well_formed(value)

    def encode(self, value: str) -> Encoded:
        """See the base class."""
        return Encoded((value.encode(),))

    def decode(self, data: Buffer, entry: CacheEntry) -> str:
        """See the base class."""
        return str(data, "utf-8")

    def copy(self, value: str) -> str:
        """See the base class."""
        return value


class JsonHandler(CacheHandler):
    """What JSON gives back as it was: None, bool, int of 64 bits, finite float, str, and lists and dicts of these."""

    data_type = "json"
    quick = True
    content_type = "application/json"

    def can_handle(self, value: object) -> bool:
        """See the base class."""
        return is_json(value)

    def encode(self, value: Any) -> Encoded:
        """See the base class."""
        return Encoded((orjson.dumps(value),))

    def decode(self, data: Buffer, entry: CacheEntry) -> Any:
        """See the base class."""
        return orjson.loads(data)

    def copy(self, value: Any) -> Any:
        """See the base class."""
        return copied(value)


def is_json(value: Any, levels: int = MAX_LEVELS) -> bool:
    """Returns whether a value comes back from JSON as it is; subclasses do not."""
    kind = type(value)
    if kind is str:
        return well_formed(value)
    if kind is int:
        return bool(-(2**63) <= value < 2**64)
    if kind is float:
        return isfinite(value)
    if kind is list:
        return levels > 0 and all(is_json(item, levels - 1) for item in value)
    if kind is dict:
        named = levels > 0 and all(type(key) is str and well_formed(key) for key in value)
        return named and all(is_json(item, levels - 1) for item in value.values())
    return value is None or kind is bool


def well_formed(text: Any) -> bool:
    """Returns whether a text can be written as UTF-8: not if it holds half a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def copied(value: Any) -> Any:
    """Returns a copy of JSON data."""
    kind = type(value)
    if kind is dict:
        return {key: copied(item) for key, item in value.items()}
    if kind is list:
        return [copied(item) for item in value]
    return value
