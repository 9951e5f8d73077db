"""Lists of entries, the entries that an invalidation means, and what it does to them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sutler.filtering import after_sql, order_sql, position
from sutler.paging import MAX_PAGE_BYTES
from sutler.store import Transaction

from services.cache.adapters.database import feed, leases, rows, totals, writing
from services.cache.adapters.database.totals import Totals
from services.cache.caches import Cache
from services.cache.entries import Entry, Unreadable
from services.cache.listing import ENTRIES, ENTRY_ORDER, Query, entry_item
from services.cache.results import Discarded, Listed
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Scope

_ALIVE = "(expire_time IS NULL OR expire_time > ?)"


def page(tx: Transaction, cache: Cache, query: Query) -> Listed:
    """Returns one page: the keys first, then as many entries as fit into a message, so that memory stays bounded."""
    rows.check_cache(tx, cache)
    parts, params = [f"space = ? AND {_ALIVE}"], [cache.space, tx.now]

    def add(text: str, values: Sequence[Any]) -> None:
        parts.append(text)
        params.extend(values)

    # The position stands first: of several bounds SQLite seeks the first, and goes one by one up to the others.
    if query.after is not None:
        text, last = after_sql(query.orders, ENTRIES, query.after, tx.dialect)
        add(f"({text})", last)
    if query.prefix:
        add(*_prefix(query.prefix))
    add(*query.filter.sql(tx.dialect))
    order, ordering = order_sql(query.orders, ENTRIES, tx.dialect)
    sql = f"SELECT key, listed_bytes FROM entries WHERE {' AND '.join(parts)} ORDER BY {order} LIMIT ?"
    unreadable: set[str] = set()
    while True:
        found = tx.all(sql, (*params, *ordering, query.limit + 1 + len(unreadable)))
        found = [row for row in found if rows.given_key(row[0]) not in unreadable]
        keys = _fitting(found[: query.limit])
        entries, more = _entries(tx, cache, keys), len(keys) < len(found)
        if entries or not more:
            return Listed(entries, [_position(entry, query) for entry in entries], more=more)
        unreadable.update(keys)


def _position(entry: Entry, query: Query) -> list[Any]:
    key = rows.stored_key(entry.key)
    if query.orders == ENTRY_ORDER:
        return [key]
    return position({**entry_item(entry), "key": key}, query.orders, ENTRIES)


def _fitting(found: Sequence[tuple[str, int]]) -> list[str]:
    total = 0
    keys: list[str] = []
    for key, size in found:
        total += size
        if keys and total > MAX_PAGE_BYTES:
            break
        keys.append(rows.given_key(key))
    return keys


def _entries(tx: Transaction, cache: Cache, keys: Sequence[str]) -> list[Entry]:
    most = rows.GROUPS[-1]
    found: dict[str, Entry | Unreadable] = {}
    for start in range(0, len(keys), most):
        found |= rows.some(tx, cache, keys[start : start + most], value=False)
    return [entry for key in keys if isinstance(entry := found[key], Entry)]


def _prefix(prefix: str) -> tuple[str, tuple[str, ...]]:
    """Returns a range over keys, which the index answers, and its parameters."""
    first = rows.stored_key(prefix)
    kept = first.rstrip(chr(sys.maxunicode))
    if not kept:
        return "key >= ?", (first,)
    code = ord(kept[-1]) + 1
    return "key >= ? AND key < ?", (first, kept[:-1] + chr(0xE000 if code == 0xD800 else code))


def select(tx: Transaction, cache: Cache, selector: Selector, after: str, limit: int, *, living: bool) -> list[Mark]:
    """Returns entries that are meant, whose key is greater than ``after``, by key."""
    rows.check_cache(tx, cache)
    beyond = rows.stored_key(after)
    if selector.keys:
        keys = [key for key in map(rows.stored_key, selector.keys) if key > beyond]
        return _named(tx, cache, sorted(keys), living=living)[:limit]
    if selector.tags:
        return _tagged(tx, cache, selector.tags, beyond, limit, living=living)
    text, params = selector.filter.sql(tx.dialect) if selector.filter is not None else ("TRUE", ())
    if selector.prefix:
        text, params = _prefix(selector.prefix)
        if beyond < rows.stored_key(selector.prefix):
            return _marks(tx, cache, text, params, limit, living=living)
    return _marks(tx, cache, f"key > ? AND {text}", (beyond, *params), limit, living=living)


def _tagged(tx: Transaction, cache: Cache, tags: Sequence[str], beyond: str, limit: int, *, living: bool) -> list[Mark]:
    """Returns entries that have one of these tags. Beginning with the tags costs nothing for the other entries."""
    places = ", ".join("?" * len(tags))
    sql = f"SELECT DISTINCT key FROM entry_tags WHERE space = ? AND tag IN ({places}) AND key > ? ORDER BY key LIMIT ?"
    found: list[Mark] = []
    while len(found) < limit:
        keys = [key for (key,) in tx.all(sql, (cache.space, *tags, beyond, limit))]
        found += _named(tx, cache, keys, living=living)
        if len(keys) < limit:
            break
        beyond = keys[-1]
    return found[:limit]


def _named(tx: Transaction, cache: Cache, keys: Sequence[str], *, living: bool) -> list[Mark]:
    """Returns entries by their keys as they are stored, in the order of the keys."""
    if not keys:
        return []
    condition = f"key IN ({', '.join('?' * len(keys))})"
    return _marks(tx, cache, condition, keys, len(keys), living=living)


def _marks(
    tx: Transaction, cache: Cache, condition: str, params: Sequence[Any], limit: int, *, living: bool
) -> list[Mark]:
    alive, now = (f"AND {_ALIVE}", [tx.now]) if living else ("", [])
    found = tx.all(
        f"SELECT key, put_time FROM entries WHERE space = ? AND {condition} {alive} ORDER BY key LIMIT ?",
        (cache.space, *params, *now, limit),
    )
    return [Mark(rows.given_key(key), put_time) for key, put_time in found]


def discard(
    tx: Transaction, cache: Cache, marks: Sequence[Mark], *, expire_only: bool, cause: Cause | None
) -> Discarded:
    """Removes marked entries, or lets them expire, unless they were put anew.

    Leases of their keys end; with ``cause`` followers are told of each. What cannot be read goes, whatever its mark
    says.
    """
    rows.check_cache(tx, cache)
    total = totals.load(tx, cache.tenant, cache.space)
    before = replace(total)
    count = 0
    for mark in marks:
        entry = rows.held(tx, cache.space, mark.key)
        if isinstance(entry, Unreadable):
            writing.remove(tx, total, entry)
        elif entry is None or entry.put_time != mark.put_time:
            continue
        else:
            count += entry.alive(tx.now)
            if not expire_only:
                writing.remove(tx, total, entry)
            elif entry.alive(tx.now):
                _expire(tx, cache, total, entry)
        leases.end(tx, total, mark.key)
        if cause is not None:
            feed.tell(tx, total, Scope.KEY, mark.key, cause)
    if total != before:
        total.save(tx)
    return Discarded(count, total.lost_leases)


def _expire(tx: Transaction, cache: Cache, total: Totals, entry: Entry) -> None:
    total.version += 1
    tx.execute(
        "UPDATE entries SET expire_time = ?, purge_time = ?, life_time = ? WHERE space = ? AND key = ?",
        (tx.now, writing.purge_time(cache, tx.now), tx.now, cache.space, rows.stored_key(entry.key)),
    )


def concerns_somebody(tx: Transaction, cache: Cache) -> bool:
    """Returns whether there are leases that could end, or followers who could be told."""
    rows.check_cache(tx, cache)
    total = totals.load(tx, cache.tenant, cache.space)
    return total.leases > 0 or total.followed_until > tx.now


def announce(
    tx: Transaction, cache: Cache, scopes: Sequence[tuple[Scope, str]], cause: Cause, ending: Selector | None
) -> int:
    """Tells followers what to forget, and ends leases; returns how many."""
    rows.check_cache(tx, cache)
    total = totals.load(tx, cache.tenant, cache.space)
    before = replace(total)
    if ending is not None and total.leases:
        _end_leases(tx, total, ending)
    for scope, text in scopes:
        feed.tell(tx, total, scope, text, cause)
    if total != before:
        total.save(tx)
    return total.lost_leases


def _end_leases(tx: Transaction, total: Totals, ending: Selector) -> None:
    for key in ending.keys:
        leases.end(tx, total, key)
    if ending.tags:
        leases.end_tagged(tx, total, ending.tags)
    if ending.prefix:
        leases.end_where(tx, total, *_prefix(ending.prefix))
    if ending.filter is not None or ending.everything:
        leases.end_where(tx, total, "TRUE", ())
