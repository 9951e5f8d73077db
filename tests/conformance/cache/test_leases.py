from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.cache.changes import Row, View
from services.cache.leases import Lease
from services.cache.results import Discarded
from services.cache.selectors import Selector
from services.cache.telling import Cause
from tests.conformance.cache.places import Place, grant, look, put, release, remove, wanted


async def leases(place: Place, cache, *keys: str) -> set[str]:  # type: ignore[no-untyped-def]
    seen: list[View] = []
    await place.backend.change(cache, [look(key, seen) for key in keys])
    return {view.lease.key for view in seen if view.lease}


async def test_a_lease_lasts_until_its_end(place: Place) -> None:
    cache = await place.make()
    [given] = (await place.backend.change(cache, [grant("k", "secret", 30, ("t",))])).results
    assert isinstance(given, Lease) and (given.token, given.tags) == ("secret", ("t",))
    seen: list[View] = []
    await (place.other or place.backend).change(cache, [look("k", seen)])
    assert seen[-1].lease == given and seen[-1].entry is None
    await place.backend.change(cache, [grant("k", "next", -1)])
    assert await leases(place, cache, "k") == set()


@pytest.mark.parametrize("row", [put("k"), release("k")], ids=["put", "release"])
async def test_what_ends_a_lease(place: Place, row) -> None:  # type: ignore[no-untyped-def]
    cache = await place.make()
    await place.backend.change(cache, [grant("k"), grant("other")])
    await place.backend.change(cache, [row])
    assert await leases(place, cache, "k", "other") == {"other"}


async def test_a_removal_ends_the_lease(place: Place) -> None:
    cache = await place.make()
    await place.backend.change(cache, [put("a"), put("b"), grant("a"), grant("b"), remove("a")])
    assert await leases(place, cache, "a", "b") == {"b"}
    marks = await place.backend.select(cache, Selector(keys=("b",)), "", 10, living=False)
    await place.backend.discard(cache, marks, expire_only=False)
    assert await leases(place, cache, "a", "b") == set()


@pytest.mark.parametrize(
    ("ending", "left"),
    [
        (Selector(keys=("a", "none")), {"ab", "b"}),
        (Selector(tags=("t", "u")), {"ab"}),
        (Selector(prefix="a"), {"b"}),
        (Selector(everything=True), set()),
        (Selector(filter=wanted("size_bytes > 1").filter), set()),
        (None, {"a", "ab", "b"}),
    ],
    ids=["keys", "tags", "prefix", "all", "filter", "none"],
)
async def test_an_invalidation_ends_leases(place: Place, ending: Selector | None, left: set[str]) -> None:
    cache, other = await place.make(), await place.make()
    rows = [grant("a", tags=("t",)), grant("ab"), grant("b", tags=("u", "v"))]
    await place.backend.change(cache, rows)
    await place.backend.change(other, rows)
    await place.backend.announce(cache, [], Cause.INVALIDATE, ending=ending)
    assert await leases(place, cache, "a", "ab", "b") == left
    assert await leases(place, other, "a", "ab", "b") == {"a", "ab", "b"}


async def test_those_who_wait_are_woken(place: Place) -> None:
    cache = await place.make()
    for backend in (place.backend, place.other or place.backend):
        seen = place.backend.changes.generation
        waiting = asyncio.create_task(place.backend.changes.wait(20, since=seen))
        await backend.change(cache, [put("k")])
        assert await waiting != seen


async def test_leases_that_ended_are_removed(place: Place) -> None:
    cache = await place.make()
    await place.backend.change(cache, [grant("dead", seconds=-5), grant("alive")])
    while (await place.backend.expire()).more:
        pass
    assert await leases(place, cache, "dead", "alive") == {"alive"}


async def test_a_tag_of_the_entry_ends_the_lease_that_replaces_it(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "a", tags=("old",))
    await place.put(cache, "b")
    await place.backend.change(cache, [grant("a"), grant("b")])
    await place.backend.announce(cache, [], Cause.INVALIDATE, ending=Selector(tags=("old",)))
    assert await leases(place, cache, "a", "b") == {"b"}


async def test_leases_that_end_without_a_put_of_their_holder_are_told(place: Place) -> None:
    cache, other = await place.make(), await place.make()
    keys = ("expired", "put", "others", "removed", "released", "again", "marked", "announced", "extended")
    await place.put(cache, "removed", "marked")
    await place.backend.change(other, [grant("k")])
    given = await place.backend.change(cache, [grant(key, seconds=-1.0 if key == "expired" else 30.0) for key in keys])
    assert given.lost_leases == 0

    async def lost(*rows: Row) -> int:
        return (await place.backend.change(cache, rows)).lost_leases

    assert await lost(put("none"), remove("none"), release("none"), grant("extended", seconds=60)) == 0
    assert await lost(replace(put("put"), with_lease=True)) == 0
    assert await lost(put("others"), remove("removed"), release("released"), grant("again", "next")) == 4
    marks = await place.backend.select(cache, Selector(keys=("marked",)), "", 10, living=False)
    assert await place.backend.discard(cache, marks, expire_only=False) == Discarded(1, 1)
    assert await place.backend.announce(cache, [], Cause.INVALIDATE, ending=Selector(keys=("announced",))) == 1
    assert await place.backend.announce(cache, [], Cause.INVALIDATE) == 0
    swept = {}
    more = True
    while more:
        found = await place.backend.expire()
        swept, more = swept | {space: count for space, count in found.lost_leases.items() if count}, found.more
    assert swept.get(cache.space) == 1 and other.space not in swept
