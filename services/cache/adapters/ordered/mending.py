"""Compares what is kept about the entries of a cache with the entries."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import astuple, dataclass

from sutler.backends import OrderedStore
from sutler.errors import DataLoss

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.looking import records
from services.cache.adapters.ordered.records import Held, load_blob, load_entry, load_space
from services.cache.adapters.ordered.spaces import room_of
from services.cache.adapters.ordered.steps import Step
from services.cache.adapters.ordered.writing import find
from services.cache.caches import Cache, Usage

PASSES = 5
_NAMES = ("entries", "blobs", "size_bytes", "stored_bytes")


@dataclass(frozen=True, slots=True)
class Difference:
    """What is wrong with what is kept about a cache.

    Attributes:
        usage: What to add to the usage, part by part.
        tags: Tags that are missing in the index, or too much, each with the key of its entry.
    """

    usage: tuple[int, ...]
    tags: frozenset[tuple[str, str]]

    def words(self) -> list[str]:
        """Returns it in words."""
        wrong = [f"{name} is off by {-more}" for name, more in zip(_NAMES, self.usage, strict=True) if more]
        return wrong + [
            f"the index of tags is wrong about tag {tag!r} of key {key!r}" for tag, key in sorted(self.tags)
        ]


async def compare(store: OrderedStore, cache: Cache) -> Difference:
    """Returns what is wrong. What changes during the look is no difference: one that lasts is seen twice."""
    last = await _look(store, cache)
    for _ in range(PASSES):
        if last is not None and not any(last.usage) and not last.tags:
            return last
        again = await _look(store, cache)
        if again is not None and last is not None and again.usage == last.usage:
            return Difference(again.usage, again.tags & last.tags)
        last = again
    return Difference((0,) * len(_NAMES), frozenset())


def repair(step: Step, cache: Cache, wrong: Difference) -> None:
    """Corrects what is kept, by what was found wrong."""
    room = room_of(step, cache)
    entries_more, blobs_more, size_more, stored_more = wrong.usage
    room.add(entries=entries_more, blobs=blobs_more, size=size_more, stored=stored_more)
    for tag, key in wrong.tags:
        held = find(room, key)
        if held is not None and tag in held.entry.tags:
            step.put(keys.tag(cache.space, tag, key), b"")
        else:
            step.delete(keys.tag(cache.space, tag, key))
    room.save()


async def _look(store: OrderedStore, cache: Cache) -> Difference | None:
    """Returns what seems wrong; None if the usage changed meanwhile."""
    before = await _usage(store, cache)
    counted, sums, tags = [0, 0, 0, 0], set[str](), set[tuple[str, str]]()
    start = keys.entries(cache.space)
    async for group in records(store, start, keys.below(start)):
        for key, record in group:
            counted[0] += 1
            with suppress(DataLoss):  # which is told of the entry itself
                held = load_entry(keys.text(key[len(start) :]), record)
                _count(counted, sums, held)
                tags.update((tag, held.entry.key) for tag in held.entry.tags)
    for sha256 in sums:
        [stored] = await store.get([keys.blob(cache.tenant, cache.rules.blob_backend, sha256)])
        if stored is not None:
            counted[1] += 1
            counted[3] += load_blob(stored).blob.stored_size
    indexed: set[tuple[str, str]] = set()
    first = keys.all_tags(cache.space)
    async for found in records(store, first, keys.below(first)):
        indexed.update(keys.tagged(cache.space, key) for key, _ in found)
    if await _usage(store, cache) != before:
        return None
    more = tuple(real - kept for real, kept in zip(counted, astuple(before), strict=True))
    return Difference(more, frozenset(tags ^ indexed))


def _count(counted: list[int], sums: set[str], held: Held) -> None:
    counted[2] += held.entry.size
    if held.sha256:
        sums.add(held.sha256)
    else:
        counted[3] += held.entry.stored_size


async def _usage(store: OrderedStore, cache: Cache) -> Usage:
    [record] = await store.get([keys.space(cache.space)])
    return Usage() if record is None else load_space(record).usage
