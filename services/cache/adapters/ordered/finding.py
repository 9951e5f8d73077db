"""Reads by key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sutler.backends import OrderedStore

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.looking import with_blobs
from services.cache.adapters.ordered.records import Held, load_entry, load_lease
from services.cache.caches import Cache
from services.cache.entries import Entry, Unreadable
from services.cache.results import Found

Clock = Callable[[], float]


async def one(store: OrderedStore, clock: Clock, cache: Cache, key: str, *, value: bool, lease: bool) -> Found:
    """Returns what stands under a key, and if that is wanted its value and its lease."""
    wanted = [keys.entry(cache.space, key)]
    wanted += [keys.value(cache.space, key)] if value else []
    wanted += [keys.lease(cache.space, key)] if lease else []
    record, *more = await store.get(wanted)
    held = more.pop() if lease else None
    now = clock()
    given = load_lease(key, held)
    living = given if given is not None and given.alive(now) else None
    if record is None:
        return Found(None, now, living)
    loaded = load_entry(key, record)
    if isinstance(loaded, Unreadable):
        return Found(loaded, now, living)
    [entry] = await with_blobs(store, cache, [loaded])
    if value and entry.blob is None:
        entry = replace(entry, value=more[0] or b"")
    return Found(entry, now, living)


async def some(
    store: OrderedStore, clock: Clock, cache: Cache, names: Sequence[str], *, value: bool
) -> tuple[Mapping[str, Entry | Unreadable], float]:
    """Returns what stands under several keys, and the time."""
    wanted = [keys.entry(cache.space, key) for key in names]
    if value:
        wanted += [keys.value(cache.space, key) for key in names]
    found = await store.get(wanted)
    now, count = clock(), len(names)
    loaded = [load_entry(key, record) for key, record in zip(names, found[:count], strict=True) if record is not None]
    held = [each for each in loaded if isinstance(each, Held)]
    entries = {entry.key: entry for entry in await with_blobs(store, cache, held)}
    for key, stored in zip(names, found[count:], strict=True) if value else ():
        if key in entries and entries[key].blob is None:
            entries[key] = replace(entries[key], value=stored or b"")
    return entries | {each.key: each for each in loaded if isinstance(each, Unreadable)}, now
