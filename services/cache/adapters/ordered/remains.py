"""What is known of an entry whose record cannot be read: what can be set right when it goes.

The rest is left to a recount.
"""

from __future__ import annotations

from typing import Any, TypeVar

import orjson

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.records import Held
from services.cache.adapters.ordered.spaces import Room
from services.cache.entries import Entry, Kind

T = TypeVar("T")


def known(room: Room, key: str) -> Held:
    """Returns what is known of an entry that cannot be read; the rest is empty."""
    record, value = room.step.get(keys.entry(room.number, key)), room.step.get(keys.value(room.number, key))
    return told(key, record or b"", value)


def told(key: str, record: bytes, value: bytes | None) -> Held:
    """Returns what a record that cannot be read still tells; the rest is empty.

    Args:
        key: The key.
        record: The record.
        value: The value beside it, if there is one.
    """
    found = _fields(record)
    entry = Entry(
        key=key,
        kind=Kind.BYTES,
        etag="",
        ttl=None,
        expire_time=None,
        life_time=0.0,
        size=_field(found, "size_bytes", 0),
        stored_size=len(value or b""),
        checksum="",
        create_time=0.0,
        put_time=0.0,
        update_time=0.0,
        data_type=_field(found, "data_type", ""),
        tags=tuple(tag for tag in _field(found, "tags", list[object]()) if isinstance(tag, str)),
    )
    sha256 = "" if value is not None else _field(found, "sha256", "")
    return Held(entry, _field(found, "purge_time", 0.0) or None, _field(found, "worth", 0.0), sha256)


def _fields(record: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(record.partition(b"\n")[0])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _field(found: dict[str, Any], name: str, otherwise: T) -> T:
    value = found.get(name)
    return value if type(value) is type(otherwise) else otherwise
