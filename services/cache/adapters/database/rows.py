"""Rows of the table of entries, as entries, and the reads by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sutler.store import Transaction

from services.cache.caches import Cache
from services.cache.entries import Blob, Entry, Kind
from services.cache.faults import CacheMovedError

_BLOB = "b.sha256, b.size_bytes, b.checksum, b.chunks, b.locator, b.id"
_COLUMNS = (
    "e.key, e.kind, e.etag, e.ttl, e.expire_time, e.life_time, e.size_bytes, e.stored_bytes, e.checksum,"
    " e.create_time, e.put_time, e.update_time, e.content_type, e.data_type, e.metadata, e.tags, e.hit_count,"
    " e.access_time"
)
_WITHOUT_VALUE = f"{_COLUMNS}, NULL, {_BLOB}"
_WITH_VALUE = f"{_COLUMNS}, e.value, {_BLOB}"
_BLOB_JOIN = "LEFT JOIN blobs b ON b.id = e.blob_id"
SELECT = f"SELECT {_WITHOUT_VALUE} FROM entries e {_BLOB_JOIN}"
"""Begins a query for entries without their values; :func:`to_entry` reads its rows."""

SELECT_BARE = SELECT.replace("e.metadata", "'{}'")
"""As :data:`SELECT`, without metadata too, which may be large: for work on many entries that are to go."""

_SELECT_WITH_VALUE = f"SELECT {_WITH_VALUE} FROM entries e {_BLOB_JOIN}"

# One statement sees the cache and the entry as of one moment: that the cache is still what the caller knows costs no
# second look.
_ONE = (
    "SELECT c.revision, {columns} FROM caches c LEFT JOIN entries e ON e.space = c.space AND e.key = ? "
    f"{_BLOB_JOIN} WHERE c.space = ?"
)
_ONE_WITHOUT = _ONE.format(columns=_WITHOUT_VALUE)
_ONE_WITH = _ONE.format(columns=_WITH_VALUE)

GROUPS = (1, 5, 25)
"""How many keys one statement looks up: few sizes, so that few statements are prepared."""


def stored_key(key: str) -> str:
    r"""Returns a key as it is stored: PostgreSQL takes no U+0000 in text, so that and the escape U+0001 are escaped.

    Keys keep their order by code point, and what begins with a prefix still does.
    """
    if "\0" not in key and "\x01" not in key:
        return key
    return key.replace("\x01", "\x01\x02").replace("\0", "\x01\x01")


def given_key(stored: str) -> str:
    """Returns the key that :func:`stored_key` made."""
    if "\x01" not in stored:
        return stored
    return stored.replace("\x01\x01", "\0").replace("\x01\x02", "\x01")


def to_entry(row: Sequence[Any]) -> Entry:
    """Returns the entry in a row; positions rather than names, for this is on the way of every read."""
    tags, sha256 = row[15], row[19]
    return Entry(
        given_key(row[0]),
        _KINDS[row[1]],
        row[2],
        row[3],
        row[4],
        row[5],
        row[6],
        row[7],
        row[8],
        row[9],
        row[10],
        row[11],
        row[12],
        row[13],
        row[14],
        () if tags == "[]" else tuple(orjson.loads(tags)),
        row[16],
        row[17],
        row[18],
        None if sha256 is None else Blob(sha256, row[20], row[21], row[22], row[23], row[24]),
    )


_KINDS = {int(kind): kind for kind in Kind}


def one(tx: Transaction, cache: Cache, key: str, *, value: bool) -> Entry | None:
    """Returns what stands under a key of a cache.

    Raises:
        CacheMovedError: If the cache is not what the caller knows.
    """
    row = tx.one(_ONE_WITH if value else _ONE_WITHOUT, (stored_key(key), cache.space))
    if row is None or row[0] != cache.revision:
        raise CacheMovedError
    return None if row[1] is None else to_entry(row[1:])


def some(tx: Transaction, cache: Cache, keys: Sequence[str], *, value: bool) -> Mapping[str, Entry]:
    """Returns what stands under up to 25 keys of a cache. Raises as :func:`one`."""
    check_cache(tx, cache)
    select = _SELECT_WITH_VALUE if value else SELECT
    size = next(size for size in GROUPS if size >= len(keys))
    padded = [*map(stored_key, keys), *[stored_key(keys[-1])] * (size - len(keys))]
    sql = f"{select} WHERE e.space = ? AND e.key IN ({', '.join('?' * size)})"
    return {entry.key: entry for entry in map(to_entry, tx.all(sql, (cache.space, *padded)))}


def check_cache(tx: Transaction, cache: Cache) -> None:
    """Checks that a cache is still what the caller knows.

    Raises:
        CacheMovedError: If it was changed or deleted.
    """
    row = tx.one("SELECT revision FROM caches WHERE space = ?", (cache.space,))
    if row is None or row[0] != cache.revision:
        raise CacheMovedError


def held(tx: Transaction, space: int, key: str, *, value: bool = False) -> Entry | None:
    """Returns what stands under a key; for changes, which have checked the cache already."""
    select = _SELECT_WITH_VALUE if value else SELECT
    row = tx.one(f"{select} WHERE e.space = ? AND e.key = ?", (space, stored_key(key)))
    return None if row is None else to_entry(row)
