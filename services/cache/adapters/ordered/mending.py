"""Sets right what is kept about the entries of a cache."""

from __future__ import annotations

from itertools import islice

from sutler.backends import OrderedStore

from services.cache.adapters.ordered import blobs, indexes, keys
from services.cache.adapters.ordered.comparing import Difference, compare
from services.cache.adapters.ordered.held import count_type, find
from services.cache.adapters.ordered.line import Lines
from services.cache.adapters.ordered.records import Held
from services.cache.adapters.ordered.spaces import room_of
from services.cache.adapters.ordered.steps import PAGE, Step
from services.cache.caches import Cache


async def recount(store: OrderedStore, lines: Lines, cache: Cache, *, repair: bool) -> list[str]:
    """Returns what is wrong, in words, and mends it if that is wanted."""
    wrong = await compare(store, cache)
    if repair and wrong.words():
        await lines.run(cache.tenant, lambda step: repair_counts(step, cache, wrong))
        for piece in pieces(wrong):
            await lines.run(cache.tenant, lambda step, piece=piece: repair_indexes(step, cache, piece))  # type: ignore[misc]
    return wrong.words()


def repair_counts(step: Step, cache: Cache, wrong: Difference) -> None:
    """Corrects what is counted, by what was found wrong."""
    room = room_of(step, cache)
    entries_more, blobs_more, size_more, stored_more = wrong.usage
    room.add(entries=entries_more, blobs=blobs_more, size=size_more, stored=stored_more)
    step.want(keys.blob(cache.tenant, cache.rules.blob_backend, sha256) for sha256, _ in wrong.uses)
    step.want(keys.data_type(cache.tenant, cache.space, name) for name, _ in wrong.types)
    for sha256, more in wrong.uses:
        blobs.correct(room, sha256, more)
    for name, more in wrong.types:
        count_type(room, name, more)
    room.save()


def repair_indexes(step: Step, cache: Cache, wrong: list[tuple[bytes, str]]) -> None:
    """Makes records of the indexes tell what the entries tell now."""
    room = room_of(step, cache)
    step.want(keys.entry(cache.space, key) for _, key in wrong)
    for found, key in wrong:
        held = find(room, key)
        right = indexes.of(room.known.tenant, cache.space, held) if isinstance(held, Held) else {}
        if found in right:
            step.put(found, right[found])
        else:
            step.delete(found)


def pieces(wrong: Difference) -> list[list[tuple[bytes, str]]]:
    """Returns what is wrong with the indexes in pieces that one step corrects."""
    rest = iter(sorted(wrong.indexes))
    return list(iter(lambda: list(islice(rest, PAGE)), []))
