from __future__ import annotations

import asyncio
import time

from services.cache.accesses import Access
from services.cache.caches import Cache, Eviction, Usage
from services.cache.entries import Entry
from services.cache.leases import Lease
from services.cache.results import Swept
from tests.conformance.cache.places import Place, blob_of, fresh, grant, put, remove


async def swept(place: Place) -> dict[int, int]:
    counts: dict[int, int] = {}
    more = True
    while more:
        found: Swept = await place.backend.expire()
        for space, count in found.counts.items():
            counts[space] = counts.get(space, 0) + count
        more = found.more
    return counts


async def test_what_is_over_goes(place: Place) -> None:
    cache, other = await place.make(), await place.make(stale_retention=3600.0)
    await place.put(cache, *(f"k{number}" for number in range(450)), expire_time=lambda now: now - 1)
    await place.put(cache, "living")
    await place.put(cache, "endless", ttl=0.0, expire_time=None)
    await place.put(other, "retained", expire_time=lambda now: now - 1)
    assert (await swept(place)).get(cache.space) == 450
    assert await place.backend.usage(cache) == Usage(2, 0, 10, 10)
    assert await place.backend.usage(other) == Usage(1, 0, 5, 5)
    assert await place.keys(cache) == ["endless", "living"]


async def test_accesses_count_and_renew(place: Place) -> None:
    cache = await place.make(sliding=True)
    first, second = await place.put(cache, "a", "b")
    last = time.time() + 5
    await place.backend.record(
        [
            Access(cache.space, "a", first.put_time, True, 3, last),
            Access(cache.space, "b", second.put_time, False, 1, last),
            Access(cache.space, "b", second.put_time - 1, True, 9, last),
            Access(cache.space, "none", 1.0, True, 9, last),
            Access(999, "a", 1.0, True, 9, last),
        ]
    )
    found, _ = await place.backend.get_many(cache, ["a", "b"], value=False)
    assert (found["a"].hit_count, found["a"].access_time, found["a"].expire_time) == (3, last, last + 100)
    assert (found["b"].hit_count, found["b"].expire_time) == (1, second.expire_time)
    await place.backend.record([Access(cache.space, "a", first.put_time, True, 1, last - 2)])
    found, _ = await place.backend.get_many(cache, ["a"], value=False)
    assert (found["a"].hit_count, found["a"].access_time, found["a"].expire_time) == (4, last, last + 100)


async def test_an_access_does_not_bring_back_what_was_ended(place: Place) -> None:
    cache = await place.make(sliding=True)
    [stored] = await place.put(cache, "a", expire_time=lambda now: now - 1)
    await place.backend.record([Access(cache.space, "a", stored.put_time, True, 1, stored.life_time - 1)])
    found = (await place.backend.get(cache, "a", value=False)).entry
    assert found is not None and found.expire_time == stored.expire_time


async def evicted(place: Place, cache: Cache) -> int:
    count, more = 0, True
    while more:
        found = await place.backend.evict(cache)
        count, more = count + found.counts.get(cache.space, 0), found.more
    return count


async def test_what_was_not_used_for_long_is_evicted_first(place: Place) -> None:
    cache = await place.make(max_entries=10)
    for number in range(12):
        await place.put(cache, f"k{number:02}", update_time=lambda now, number=number: now - 100 + number)
    [used] = await place.put(cache, "used", update_time=lambda now: now - 200)
    await place.backend.record([Access(cache.space, "used", used.put_time, False, 1, time.time())])
    assert await evicted(place, cache) == 5
    assert await place.keys(cache) == [f"k{number:02}" for number in range(5, 12)] + ["used"]
    assert await evicted(place, cache) == 0


async def test_eviction_makes_room_in_bytes(place: Place) -> None:
    cache = await place.make(max_bytes=1000)
    await place.put(cache, *(f"k{number:03}" for number in range(500)), value=b"x" * 10)
    assert await evicted(place, cache) == 420
    assert await place.backend.usage(cache) == Usage(80, 0, 800, 800)


async def test_a_deleted_cache_is_emptied(place: Place) -> None:
    cache, other = await place.make(), await place.make()
    await place.put(cache, *(f"k{number}" for number in range(300)), tags=("t",), data_type="json")
    await place.backend.change(cache, [put("blob", draft=fresh(blob_of(b"x", "l1"))), grant("lease")])
    await place.put(other, "k")
    while await place.backend.drop(cache.space):
        pass
    assert await place.backend.usage(cache) == Usage()
    assert await place.backend.garbage("files", 10) == ["l1"]
    assert await place.backend.data_types("default", ()) == {}
    await place.backend.forget(cache.space)
    assert await place.backend.drop(cache.space) is False
    assert await place.keys(other) == ["k"]


async def test_changes_beside_the_end_of_another_cache_are_counted(place: Place) -> None:
    ending, other = await place.make(), await place.make()
    await place.put(ending, "k")
    for number in range(20):
        await asyncio.gather(
            place.backend.change(other, [put(f"a{number}")]),
            place.backend.drop(ending.space),
            place.backend.change(other, [put(f"b{number}")]),
        )
    assert await place.backend.usage(other) == Usage(40, 0, 200, 200)


async def test_a_cache_that_has_entries_is_not_forgotten(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "k")
    await place.backend.forget(cache.space)
    assert await place.backend.usage(cache) == Usage(1, 0, 5, 5)


async def test_a_recount_finds_nothing_wrong(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "a", "b", "c", tags=("x", "y"))
    await place.backend.change(cache, [put("d", draft=fresh(blob_of(b"x" * 10, "l1")), tags=("x",)), remove("b")])
    assert list(await place.backend.recount(cache, repair=False)) == []
    assert await place.backend.usage(cache) == Usage(3, 1, 20, 20)


async def test_old_results_are_of_the_right_kind(place: Place) -> None:
    cache = await place.make()
    changed = await place.backend.change(cache, [put("a"), grant("b"), remove("a"), remove("none")])
    assert [type(result) for result in changed.results] == [Entry, Lease, type(None), type(None)]


async def test_the_backend_is_healthy(place: Place) -> None:
    await place.backend.health()


async def test_what_is_used_often_is_worth_more(place: Place) -> None:
    cache = await place.make(max_entries=2, eviction=Eviction.LFU)
    often, once = await place.put(cache, "often", "once", update_time=lambda now: now - 100)
    await place.backend.record([Access(cache.space, "often", often.put_time, False, 50, time.time() - 50, True)])
    await place.backend.record([Access(cache.space, "once", once.put_time, False, 1, time.time(), True)])
    await place.put(cache, "new", update_time=lambda now: now - 10)
    await place.backend.evict(cache)
    assert await place.keys(cache) == ["often"]
