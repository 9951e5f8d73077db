"""Compares what is kept beside the entries, usage and the index of tags, with the entries themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson
from sutler.store import Transaction

from services.cache.adapters.database import rows, totals
from services.cache.adapters.database.totals import Totals
from services.cache.caches import Cache

PAGE = 200
PAIRS = 200
"""How many tags of entries one statement looks up."""

_INLINE = (
    "SELECT COUNT(*), CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT),"
    " CAST(COALESCE(SUM(CASE WHEN blob_id IS NULL THEN stored_bytes ELSE 0 END), 0) AS BIGINT)"
    " FROM entries WHERE space = ?"
)
_BLOBS = (
    "SELECT COUNT(*), CAST(COALESCE(SUM(stored_bytes), 0) AS BIGINT) FROM blobs"
    " WHERE id IN (SELECT blob_id FROM entries WHERE space = ? AND blob_id IS NOT NULL)"
)
_TAGGED = "SELECT key, tags FROM entries WHERE space = ? AND key > ? AND tags <> '[]' ORDER BY key LIMIT ?"
_INDEXED = (
    "SELECT t.tag, t.key, e.tags FROM entry_tags t LEFT JOIN entries e ON e.space = t.space AND e.key = t.key"
    " WHERE t.space = ? AND (t.tag, t.key) > (?, ?) ORDER BY t.tag, t.key LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class TagPage:
    """A part of the tags that was compared.

    Attributes:
        wrong: Tag and stored key of what is wrong.
        last: Where the next part begins: tag, if they are in the order of the index, and stored key.
        more: Whether there may be more.
    """

    wrong: Sequence[tuple[str, str]]
    last: tuple[str, str]
    more: bool


def wrong_totals(tx: Transaction, cache: Cache) -> list[str]:
    """Returns which totals are not those of the entries, in words."""
    rows.check_cache(tx, cache)
    kept, real = totals.load(tx, cache.tenant, cache.space), counted(tx, cache)
    return [
        f"{name} is {getattr(kept, name)}, but {getattr(real, name)} would be right"
        for name in ("entries", "blobs", "size_bytes", "stored_bytes")
        if getattr(kept, name) != getattr(real, name)
    ]


def counted(tx: Transaction, cache: Cache) -> Totals:
    """Returns the totals that the entries really have."""
    inline, blobs = tx.one(_INLINE, (cache.space,)), tx.one(_BLOBS, (cache.space,))
    assert inline is not None and blobs is not None
    return replace(
        totals.load(tx, cache.tenant, cache.space),
        entries=inline[0],
        blobs=blobs[0],
        size_bytes=inline[1],
        stored_bytes=inline[2] + blobs[1],
    )


def missing_tags(tx: Transaction, cache: Cache, after: tuple[str, str]) -> TagPage:
    """Returns tags of entries that the index lacks, for a page of entries by key."""
    rows.check_cache(tx, cache)
    found = tx.all(_TAGGED, (cache.space, after[1], PAGE))
    wanted = [(tag, key) for key, tags in found for tag in _tags(tags)]
    there: set[tuple[str, str]] = set()
    for start in range(0, len(wanted), PAIRS):
        some = wanted[start : start + PAIRS]
        marks = ", ".join(["(?, ?)"] * len(some))
        there |= {
            (tag, key)
            for tag, key in tx.all(
                f"SELECT tag, key FROM entry_tags WHERE space = ? AND (tag, key) IN (VALUES {marks})",
                (cache.space, *(part for pair in some for part in pair)),
            )
        }
    last = ("", found[-1][0]) if found else after
    return TagPage([pair for pair in wanted if pair not in there], last, len(found) == PAGE)


def stale_tags(tx: Transaction, cache: Cache, after: tuple[str, str]) -> TagPage:
    """Returns what the index has but entries have not, for a page of the index."""
    rows.check_cache(tx, cache)
    found = tx.all(_INDEXED, (cache.space, *after, PAGE))
    wrong = [(tag, key) for tag, key, tags in found if tags is None or tag not in _tags(tags)]
    return TagPage(wrong, (found[-1][0], found[-1][1]) if found else after, len(found) == PAGE)


def mend_tags(tx: Transaction, cache: Cache, wrong: Sequence[tuple[str, str]]) -> None:
    """Makes the index tell of these tags what the entries tell now."""
    for tag, key in wrong:
        row = tx.one("SELECT tags FROM entries WHERE space = ? AND key = ?", (cache.space, key))
        if row is not None and tag in _tags(row[0]):
            tx.execute(
                "INSERT INTO entry_tags (space, tag, key, tenant) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (space, tag, key) DO NOTHING",
                (cache.space, tag, key, cache.tenant),
            )
        else:
            tx.execute("DELETE FROM entry_tags WHERE space = ? AND tag = ? AND key = ?", (cache.space, tag, key))


def _tags(text: str) -> tuple[str, ...]:
    """Returns the tags in a column; none if it cannot be read, which is told of the entry itself."""
    try:
        return tuple(orjson.loads(text))
    except rows.UNREADABLE:
        return ()
