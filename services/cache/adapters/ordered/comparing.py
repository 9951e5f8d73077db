"""Compares what is kept about the entries of a cache with the entries."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import astuple, dataclass, field

from sutler.backends import OrderedStore

from services.cache.adapters.ordered import indexes, keys, remains
from services.cache.adapters.ordered.looking import records
from services.cache.adapters.ordered.records import Held, load_blob, load_count, load_entry, load_space
from services.cache.caches import Cache, Usage

PASSES = 5
_NAMES = ("entries", "blobs", "size_bytes", "stored_bytes")

Off = frozenset[tuple[str, int]]
"""Things that are counted wrong, each with what is to be added."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What is wrong with what is kept about a cache.

    Attributes:
        usage: What to add to the usage, part by part.
        indexes: Records of the indexes that are missing, or too much, each with the key of its entry.
        uses: Blobs, each with what to add to the entries of the cache that refer to it.
        types: Data types, each with what to add to the entries of the cache that have it.
    """

    usage: tuple[int, ...]
    indexes: frozenset[tuple[bytes, str]] = frozenset()
    uses: Off = frozenset()
    types: Off = frozenset()

    def words(self) -> list[str]:
        """Returns it in words."""
        wrong = [f"{name} is off by {-more}" for name, more in zip(_NAMES, self.usage, strict=True) if more]
        wrong += [f"the uses of blob {sha256} are off by {-more}" for sha256, more in sorted(self.uses)]
        wrong += [f"the entries of data type {name!r} are off by {-more}" for name, more in sorted(self.types)]
        return wrong + [
            f"the index of {indexes.name(found)} is wrong about key {key!r}" for found, key in sorted(self.indexes)
        ]


@dataclass(slots=True)
class _Real:
    """What the entries of a cache take: their number, the bytes of their values, and those at rest beside them."""

    entries: int = 0
    size: int = 0
    stored: int = 0
    uses: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)

    def count(self, held: Held) -> None:
        self.entries += 1
        self.size += held.entry.size
        if held.sha256:
            self.uses[held.sha256] += 1
        else:
            self.stored += held.entry.stored_size
        if held.entry.data_type:
            self.types[held.entry.data_type] += 1


async def compare(store: OrderedStore, cache: Cache) -> Difference:
    """Returns what is wrong. What changes during the look is no difference: one that lasts is seen twice."""
    last = await _look(store, cache)
    for _ in range(PASSES):
        if last is not None and not last.words():
            return last
        again = await _look(store, cache)
        if again is not None and last is not None and again.usage == last.usage:
            return Difference(
                again.usage, again.indexes & last.indexes, again.uses & last.uses, again.types & last.types
            )
        last = again
    return Difference((0,) * len(_NAMES))


async def _look(store: OrderedStore, cache: Cache) -> Difference | None:
    """Returns what seems wrong; None if the usage changed meanwhile."""
    before = await _usage(store, cache)
    real, wrong = _Real(), set[tuple[bytes, str]]()
    start = keys.entries(cache.space)
    async for found in records(store, start, keys.below(start)):
        readable: list[Held] = []
        for place, record in found:
            held = load_entry(keys.text(place[len(start) :]), record)
            if isinstance(held, Held):
                readable.append(held)
                real.count(held)
            else:
                [value] = await store.get([keys.value(cache.space, held.key)])
                real.count(remains.told(held.key, record, value))
        wrong |= await indexes.missing(store, cache, readable)
    blobs, stored, uses = await _blobs(store, cache, real.uses)
    types = await _wrong_types(store, cache, real.types)
    async for index in _indexed(store, cache):
        wrong |= await indexes.stale(store, cache, index)
    if await _usage(store, cache) != before:
        return None
    usage = (real.entries, blobs, real.size, real.stored + stored)
    more = tuple(found - kept for found, kept in zip(usage, astuple(before), strict=True))
    return Difference(more, frozenset(wrong), uses, types)


async def _blobs(store: OrderedStore, cache: Cache, uses: Counter[str]) -> tuple[int, int, Off]:
    """Returns how many blobs entries refer to, their bytes at rest, and those whose uses are wrong."""
    count, size, wrong = 0, 0, set[tuple[str, int]]()
    first = keys.blob(cache.tenant, cache.rules.blob_backend, "")
    async for group in records(store, first, keys.below(first)):
        for found, record in group:
            sha256, stored = keys.text(found[len(first) :]), load_blob(record)
            if stored is None:
                continue
            if uses[sha256]:
                count += 1
                size += stored.blob.stored_size
            more = uses[sha256] - stored.uses.get(str(cache.space), 0)
            if more:
                wrong.add((sha256, more))
    return count, size, frozenset(wrong)


async def _wrong_types(store: OrderedStore, cache: Cache, types: Counter[str]) -> Off:
    """Returns data types that are counted wrong."""
    first, kept = keys.data_type(cache.tenant, cache.space, ""), Counter[str]()
    async for group in records(store, first, keys.below(first)):
        kept.update({keys.text(found[len(first) :]): load_count(record) for found, record in group})
    names = types.keys() | kept.keys()
    return frozenset((name, types[name] - kept[name]) for name in names if types[name] != kept[name])


async def _indexed(store: OrderedStore, cache: Cache) -> AsyncIterator[list[bytes]]:
    """Yields the keys of all records in the indexes of a cache, in groups."""
    for first in (keys.all_tags(cache.space), keys.ranks(cache.space)):
        async for found in records(store, first, keys.below(first)):
            yield [key for key, _ in found]


async def _usage(store: OrderedStore, cache: Cache) -> Usage:
    [record] = await store.get([keys.space(cache.space)])
    return Usage() if record is None else load_space(record).usage
