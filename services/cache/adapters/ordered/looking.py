"""Reads that go through many entries, a piece at a time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import chain

from sutler.backends import OrderedStore
from sutler.filtering import Filter
from sutler.paging import fitting

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.ordering import Ordering, Place
from services.cache.adapters.ordered.records import Held, load_blob, load_count, load_entry, with_blob
from services.cache.adapters.ordered.steps import PAGE
from services.cache.caches import Cache
from services.cache.entries import Entry, Unreadable
from services.cache.listing import ENTRY_ORDER, Query, entry_item
from services.cache.results import Listed
from services.cache.selectors import Mark, Selector

INSPECTED_BYTES = 8 * 1024 * 1024
_LISTED_OVERHEAD = 250


async def records(store: OrderedStore, first: bytes, end: bytes) -> AsyncIterator[Sequence[tuple[bytes, bytes]]]:
    """Yields keys from ``first`` on and before ``end``, with their values, in order, in groups."""
    while found := await store.scan(first, end, PAGE):
        yield found
        first = keys.after(found[-1][0])


async def entries(store: OrderedStore, space: int, first: bytes, end: bytes) -> AsyncIterator[list[Held]]:
    """Yields entries of a cache that can be read, in groups."""
    start = len(keys.entries(space))
    async for found in records(store, first, end):
        loaded = [load_entry(keys.text(key[start:]), record) for key, record in found]
        yield [held for held in loaded if isinstance(held, Held)]


async def with_blobs(store: OrderedStore, cache: Cache, found: Sequence[Held]) -> list[Entry]:
    """Returns entries with their blobs."""
    sums = [held.sha256 for held in found if held.sha256]
    wanted = [keys.blob(cache.tenant, cache.rules.blob_backend, sha256) for sha256 in sums]
    known = dict(zip(sums, await store.get(wanted) if wanted else (), strict=True))
    blobs = {sha256: load_blob(record) for sha256, record in known.items()}
    return [with_blob(held, blobs.get(held.sha256)) for held in found]


async def page(store: OrderedStore, cache: Cache, query: Query, now: float) -> Listed:
    """Returns one page of living entries."""
    first, end = _bounds(cache, query.prefix)
    by_key = query.orders == ENTRY_ORDER
    if by_key and query.after is not None:
        first = max(first, keys.after(keys.entry(cache.space, str(query.after[0]))))
    ordering = Ordering(query.orders)
    start = None if query.after is None else ordering.after(query.after)
    matches = query.filter.predicate()
    best: list[tuple[Place, Held]] = []
    async for group in entries(store, cache.space, first, end):
        fresh = [
            (ordering.of(held.entry), held)
            for held in group
            if held.entry.alive(now) and matches({**entry_item(held.entry), "tags": held.entry.tags})
        ]
        fresh = [(place, held) for place, held in fresh if start is None or place > start]
        best = heapq.nsmallest(query.limit + 1, chain(best, fresh), key=lambda found: found[0])
        if by_key and len(best) > query.limit:
            break
    given = best[: fitting([_listed_bytes(held) for _, held in best[: query.limit]])]
    found = await with_blobs(store, cache, [held for _, held in given])
    return Listed(found, [place.values for place, _ in given], more=len(given) < len(best))


async def select(
    store: OrderedStore, cache: Cache, selector: Selector, after: str, limit: int, now: float, *, living: bool
) -> Sequence[Mark]:
    """Returns entries that are meant, whose key is greater than ``after``, by key."""
    marks: list[Mark] = []
    async for group in _selected(store, cache, selector, after, limit):
        marks += _marked(group, selector.filter, now, living=living)
        if len(marks) >= limit:
            break
    return marks[:limit]


async def data_types(store: OrderedStore, tenant: str, gone: Collection[int]) -> dict[str, int]:
    """Returns how many entries of a tenant have each data type, but for caches that are gone."""
    start, counts = keys.data_types(tenant), Counter[str]()
    async for group in records(store, start, keys.below(start)):
        for found, count in group:
            number, name = keys.typed(tenant, found)
            counts[name] += 0 if number in gone else load_count(count)
    return dict(+counts)


async def inspect(store: OrderedStore, cache: Cache, after: str, limit: int) -> Sequence[Entry | Unreadable]:
    """Returns entries with their values, alive or not, whose key is greater than ``after``, by key."""
    found: list[Entry | Unreadable] = []
    total = 0
    first, end = keys.after(keys.entry(cache.space, after)), keys.below(keys.entries(cache.space))
    for stored, record in await store.scan(first, end, limit):
        key = keys.text(stored[len(keys.entries(cache.space)) :])
        held = load_entry(key, record)
        if isinstance(held, Unreadable):
            found.append(held)
            continue
        total += 0 if held.sha256 else held.entry.stored_size
        if found and total > INSPECTED_BYTES:
            break
        [entry] = await with_blobs(store, cache, [held])
        if not held.sha256:
            [value] = await store.get([keys.value(cache.space, key)])
            entry = replace(entry, value=value or b"")
        found.append(entry)
    return found


async def _selected(
    store: OrderedStore, cache: Cache, selector: Selector, after: str, limit: int
) -> AsyncIterator[list[tuple[str, bytes]]]:
    if selector.keys:
        yield await _named(store, cache, [key for key in sorted(set(selector.keys)) if key > after])
    elif selector.tags:
        async for found in _tagged(store, cache, selector.tags, after, limit):
            yield await _named(store, cache, found)
    else:
        first, end = _bounds(cache, selector.prefix)
        start = len(keys.entries(cache.space))
        async for group in records(store, max(first, keys.after(keys.entry(cache.space, after))), end):
            yield [(keys.text(key[start:]), record) for key, record in group]


async def _tagged(
    store: OrderedStore, cache: Cache, tags: Sequence[str], after: str, limit: int
) -> AsyncIterator[list[str]]:
    """Yields keys of entries with at least one of some tags, in order, in groups of at most ``limit``."""
    while True:
        found: set[str] = set()
        for tag in tags:
            start = keys.tags(cache.space, tag)
            first = keys.after(keys.tag(cache.space, tag, after)) if after else start
            group = [keys.text(key[len(start) :]) for key, _ in await store.scan(first, keys.below(start), limit)]
            found = set(heapq.nsmallest(limit, found | set(group)))
        if not found:
            return
        yield sorted(found)
        after = max(found)


async def _named(store: OrderedStore, cache: Cache, names: Sequence[str]) -> list[tuple[str, bytes]]:
    if not names:
        return []
    found = await store.get([keys.entry(cache.space, key) for key in names])
    return [(key, record) for key, record in zip(names, found, strict=True) if record is not None]


def _marked(found: Sequence[tuple[str, bytes]], wanted: Filter | None, now: float, *, living: bool) -> Iterator[Mark]:
    """Yields marks of entries that match; what cannot be read matches everything but a filter."""
    matches = None if wanted is None else wanted.predicate()
    for key, record in found:
        held = load_entry(key, record)
        if isinstance(held, Unreadable):
            if matches is None:
                yield Mark(key, 0.0)
            continue
        if living and not held.entry.alive(now):
            continue
        if matches is None or matches({**entry_item(held.entry), "tags": held.entry.tags}):
            yield Mark(key, held.entry.put_time)


def _bounds(cache: Cache, prefix: str) -> tuple[bytes, bytes]:
    start = keys.entries(cache.space)
    if not prefix:
        return start, keys.below(start)
    first = start + prefix.encode()
    return first, keys.below(first)


def _listed_bytes(held: Held) -> int:
    entry = held.entry
    return len(entry.key) + sum(map(len, entry.tags)) + len(entry.metadata) + _LISTED_OVERHEAD
