"""Rows of the table of entries, as entries, and the reads by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sutler.store import Params, Transaction
from sutler.store import Row as StoredRow

from services.cache.caches import Cache, Compression
from services.cache.entries import Blob, Entry, Kind, Unreadable, metadata_of
from services.cache.faults import CacheMovedError
from services.cache.leases import Lease
from services.cache.results import Found

_BLOB = "b.sha256, b.size_bytes, b.checksum, b.chunks, b.locator, b.id, b.packing, b.stored_bytes"
_COLUMNS = (
    "e.key, e.kind, e.etag, e.ttl, e.expire_time, e.life_time, e.size_bytes, e.stored_bytes, e.checksum,"
    " e.create_time, e.put_time, e.update_time, e.content_type, e.data_type, e.metadata, e.tags, e.hit_count,"
    " e.access_time, e.packing, e.signature"
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
_VERSION = "SELECT c.revision, s.version{columns} FROM caches c LEFT JOIN spaces s ON s.space = c.space"
_ONE = f"{_VERSION} LEFT JOIN entries e ON e.space = c.space AND e.key = ? {_BLOB_JOIN} WHERE c.space = ?"
SELECT_VERSION = f"{_VERSION.format(columns='')} WHERE c.space = ?"
"""Asks for the revision of a cache and the version of its entries; :func:`to_version` reads the row."""

_ONE_WITHOUT = _ONE.format(columns=f", {_WITHOUT_VALUE}")
_ONE_WITH = _ONE.format(columns=f", {_WITH_VALUE}")

_LEASED = (
    f"SELECT c.revision, l.token, l.tags, l.expire_time, {_WITH_VALUE} FROM caches c"
    " LEFT JOIN key_leases l ON l.space = c.space AND l.key = ?"
    f" LEFT JOIN entries e ON e.space = c.space AND e.key = ? {_BLOB_JOIN} WHERE c.space = ?"
)

_REVISION = "revision"

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


def to_entry(row: Sequence[Any]) -> Entry | Unreadable:
    """Returns the entry in a row; positions rather than names, for this is on the way of every read."""
    try:
        tags, sha256 = row[15], row[21]
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
            metadata_of(row[14]),
            () if tags == "[]" else tuple(orjson.loads(tags)),
            row[16],
            row[17],
            row[20],
            None
            if sha256 is None
            else Blob(sha256, row[22], row[23], row[24], row[25], row[26], _PACKINGS[row[27]], row[28]),
            _PACKINGS[row[18]],
            row[19],
        )
    except UNREADABLE as error:
        return Unreadable(given_key(row[0]), f"{type(error).__name__} in its row")


UNREADABLE = (KeyError, TypeError, ValueError)
"""What a column raises that holds something else than it was given."""

_KINDS = {int(kind): kind for kind in Kind}
_PACKINGS = {int(packing): packing for packing in Compression}


def to_version(cache: Cache, row: Sequence[Any] | None) -> int:
    """Returns the version of the entries of a cache.

    Raises:
        CacheMovedError: If the cache is not what the caller knows.
    """
    if row is None or row[0] != cache.revision:
        raise CacheMovedError
    return row[1] or 0


def one(cache: Cache, key: str, *, value: bool) -> tuple[str, Params]:
    """Returns the query for what stands under a key of a cache, whose row :func:`to_found` reads."""
    return _ONE_WITH if value else _ONE_WITHOUT, (stored_key(key), cache.space)


def to_found(cache: Cache, row: StoredRow | None, now: float) -> Found:
    """Returns what a row of :func:`one` says, found at a time. Raises as :func:`to_version`."""
    version = to_version(cache, row)
    assert row is not None
    return Found(None if row[2] is None else to_entry(row[2:]), now, version=version)


def leased(tx: Transaction, cache: Cache, key: str) -> Found:
    """Returns what stands under a key of a cache, with its value, and the lease of the key. Raises as :func:`one`."""
    stored = stored_key(key)
    row = tx.one(_LEASED, (stored, stored, cache.space))
    if row is None or row[0] != cache.revision:
        raise CacheMovedError
    lease = None if row[1] is None else to_lease(key, row[1:4])
    entry = None if row[4] is None else to_entry(row[4:])
    return Found(entry, tx.now, lease if lease is not None and lease.alive(tx.now) else None)


def to_lease(key: str, row: Sequence[Any]) -> Lease | None:
    """Returns the lease in a row of token, tags and end; None if it cannot be read."""
    token, tags, expire_time = row
    try:
        return Lease(key, token, tuple(orjson.loads(tags)), float(expire_time))
    except UNREADABLE:
        return None


def some(tx: Transaction, cache: Cache, keys: Sequence[str], *, value: bool) -> Mapping[str, Entry | Unreadable]:
    """Returns what stands under up to 25 keys of a cache. Raises as :func:`one`."""
    check_cache(tx, cache)
    found = group(tx, cache.space, list(map(stored_key, keys)), value=value)
    return {entry.key: entry for entry in map(to_entry, found)}


def group(tx: Transaction, space: int, keys: Sequence[str], *, value: bool) -> list[StoredRow]:
    """Returns the rows of up to 25 stored keys, for :func:`to_entry`."""
    select = _SELECT_WITH_VALUE if value else SELECT
    size = next(size for size in GROUPS if size >= len(keys))
    padded = [*keys, *[keys[-1]] * (size - len(keys))]
    return tx.all(f"{select} WHERE e.space = ? AND e.key IN ({', '.join('?' * size)})", (space, *padded))


def check_cache(tx: Transaction, cache: Cache) -> None:
    """Checks that a cache is still what the caller knows.

    Raises:
        CacheMovedError: If it was changed or deleted.
    """
    if _revision(tx, cache.space) != cache.revision:
        raise CacheMovedError


def _revision(tx: Transaction, space: int) -> int | None:
    revision = tx.found.get((_REVISION, space))
    if revision is None:
        row = tx.one("SELECT revision FROM caches WHERE space = ?", (space,))
        revision = tx.found[_REVISION, space] = None if row is None else row[0]
    return revision


def moved(tx: Transaction, space: int) -> None:
    """Has the revision of a cache looked up again, because it was changed."""
    tx.found.pop((_REVISION, space), None)


def held(tx: Transaction, space: int, key: str, *, value: bool = False) -> Entry | Unreadable | None:
    """Returns what stands under a key; for changes, which have checked the cache already."""
    select = _SELECT_WITH_VALUE if value else SELECT
    row = tx.one(f"{select} WHERE e.space = ? AND e.key = ?", (space, stored_key(key)))
    return None if row is None else to_entry(row)
