"""Entries as they really stand in the tables, readable or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sutler.store import Transaction

from services.cache.adapters.database import rows
from services.cache.caches import Cache
from services.cache.entries import Entry, Unreadable

MAX_BYTES = 8 << 20
"""The most bytes of values in one page, unless its first entry alone has more."""

CHUNK = 200
"""Of how many deleted caches one statement counts the entries."""


def inspect(tx: Transaction, cache: Cache, after: str, limit: int) -> list[Entry | Unreadable]:
    """Returns entries with their values, alive or not, whose key is greater than ``after``, by key."""
    rows.check_cache(tx, cache)
    found = tx.all(
        "SELECT key, COALESCE(LENGTH(value), 0) FROM entries WHERE space = ? AND key > ? ORDER BY key LIMIT ?",
        (cache.space, rows.stored_key(after), limit),
    )
    keys = _fitting(found)
    most = rows.GROUPS[-1]
    raw: dict[str, Sequence[Any]] = {}
    for start in range(0, len(keys), most):
        group = rows.group(tx, cache.space, keys[start : start + most], value=True)
        raw |= {row[0]: row for row in group}
    return [rows.to_entry(raw[key]) for key in keys]


def _fitting(found: Sequence[tuple[str, int]]) -> list[str]:
    total = 0
    keys: list[str] = []
    for key, size in found:
        total += size
        if keys and total > MAX_BYTES:
            break
        keys.append(key)
    return keys


def data_types(tx: Transaction, tenant: str, gone: Sequence[int]) -> Mapping[str, int]:
    """Returns how many entries of a tenant have each data type, but not those of caches that are gone."""
    counts: dict[str, int] = dict(
        tx.all(
            "SELECT data_type, COUNT(*) FROM entries WHERE tenant = ? AND data_type <> '' GROUP BY data_type", (tenant,)
        )
    )
    for start in range(0, len(gone), CHUNK):
        some = gone[start : start + CHUNK]
        marks = ", ".join("?" * len(some))
        dropped = tx.all(
            f"SELECT data_type, COUNT(*) FROM entries WHERE space IN ({marks}) AND data_type <> '' GROUP BY data_type",
            tuple(some),
        )
        for name, number in dropped:
            counts[name] -= number
    return {name: number for name, number in counts.items() if number}
