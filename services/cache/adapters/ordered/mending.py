"""Compares what is kept about the entries of a cache with the entries."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import astuple, dataclass
from itertools import islice

from sutler.backends import OrderedStore
from sutler.errors import DataLoss

from services.cache.adapters.ordered import indexes, keys
from services.cache.adapters.ordered.held import find
from services.cache.adapters.ordered.line import Lines
from services.cache.adapters.ordered.looking import records
from services.cache.adapters.ordered.records import Held, load_blob, load_space
from services.cache.adapters.ordered.spaces import room_of
from services.cache.adapters.ordered.steps import PAGE, Step
from services.cache.caches import Cache, Usage

PASSES = 5
_NAMES = ("entries", "blobs", "size_bytes", "stored_bytes")


@dataclass(frozen=True, slots=True)
class Difference:
    """What is wrong with what is kept about a cache.

    Attributes:
        usage: What to add to the usage, part by part.
        indexes: Records of the indexes that are missing, or too much, each with the key of its entry.
    """

    usage: tuple[int, ...]
    indexes: frozenset[tuple[bytes, str]]

    def words(self) -> list[str]:
        """Returns it in words."""
        wrong = [f"{name} is off by {-more}" for name, more in zip(_NAMES, self.usage, strict=True) if more]
        return wrong + [
            f"the index of {indexes.name(found)} is wrong about key {key!r}" for found, key in sorted(self.indexes)
        ]


async def recount(store: OrderedStore, lines: Lines, cache: Cache, *, repair: bool) -> list[str]:
    """Returns what is wrong, in words, and mends it if that is wanted."""
    wrong = await compare(store, cache)
    if repair and wrong.words():
        await lines.run(cache.tenant, lambda step: repair_usage(step, cache, wrong))
        for piece in pieces(wrong):
            await lines.run(cache.tenant, lambda step, piece=piece: repair_indexes(step, cache, piece))  # type: ignore[misc]
    return wrong.words()


async def compare(store: OrderedStore, cache: Cache) -> Difference:
    """Returns what is wrong. What changes during the look is no difference: one that lasts is seen twice."""
    last = await _look(store, cache)
    for _ in range(PASSES):
        if last is not None and not any(last.usage) and not last.indexes:
            return last
        again = await _look(store, cache)
        if again is not None and last is not None and again.usage == last.usage:
            return Difference(again.usage, again.indexes & last.indexes)
        last = again
    return Difference((0,) * len(_NAMES), frozenset())


def repair_usage(step: Step, cache: Cache, wrong: Difference) -> None:
    """Corrects the usage, by what was found wrong."""
    room = room_of(step, cache)
    entries_more, blobs_more, size_more, stored_more = wrong.usage
    room.add(entries=entries_more, blobs=blobs_more, size=size_more, stored=stored_more)
    room.save()


def repair_indexes(step: Step, cache: Cache, wrong: list[tuple[bytes, str]]) -> None:
    """Makes records of the indexes tell what the entries tell now."""
    room = room_of(step, cache)
    step.want(keys.entry(cache.space, key) for _, key in wrong)
    for found, key in wrong:
        try:
            held = find(room, key)
        except DataLoss:
            held = None
        right = {} if held is None else indexes.of(room.known.tenant, cache.space, held)
        if found in right:
            step.put(found, right[found])
        else:
            step.delete(found)


def pieces(wrong: Difference) -> list[list[tuple[bytes, str]]]:
    """Returns what is wrong with the indexes in pieces that one step corrects."""
    rest = iter(sorted(wrong.indexes))
    return list(iter(lambda: list(islice(rest, PAGE)), []))


async def _look(store: OrderedStore, cache: Cache) -> Difference | None:
    """Returns what seems wrong; None if the usage changed meanwhile."""
    before = await _usage(store, cache)
    counted, sums, wrong = [0, 0, 0, 0], set[str](), set[tuple[bytes, str]]()
    start = keys.entries(cache.space)
    async for found, group in indexes.readable_entries(store, cache.space, start, keys.below(start)):
        counted[0] += found
        for held in group:
            _count(counted, sums, held)
        wrong |= await indexes.missing(store, cache, group)
    for sha256 in sums:
        [stored] = await store.get([keys.blob(cache.tenant, cache.rules.blob_backend, sha256)])
        if stored is not None:
            counted[1] += 1
            counted[3] += load_blob(stored).blob.stored_size
    async for index in _indexed(store, cache):
        wrong |= await indexes.stale(store, cache, index)
    if await _usage(store, cache) != before:
        return None
    more = tuple(real - kept for real, kept in zip(counted, astuple(before), strict=True))
    return Difference(more, frozenset(wrong))


async def _indexed(store: OrderedStore, cache: Cache) -> AsyncIterator[list[bytes]]:
    """Yields the keys of all records in the indexes of a cache, in groups."""
    for first in (keys.all_tags(cache.space), keys.ranks(cache.space)):
        async for found in records(store, first, keys.below(first)):
            yield [key for key, _ in found]


def _count(counted: list[int], sums: set[str], held: Held) -> None:
    counted[2] += held.entry.size
    if held.sha256:
        sums.add(held.sha256)
    else:
        counted[3] += held.entry.stored_size


async def _usage(store: OrderedStore, cache: Cache) -> Usage:
    [record] = await store.get([keys.space(cache.space)])
    return Usage() if record is None else load_space(record).usage
