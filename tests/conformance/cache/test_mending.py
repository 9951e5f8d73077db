"""What is wrong in a backend: found, mended, and in nobody's way."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.records import Held, load_entry
from services.cache.caches import Cache, Usage
from services.cache.entries import Unreadable
from services.cache.results import Discarded
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Scope
from tests.conformance.cache.places import Place, blob_of, fresh, grant, put
from tests.conformance.cache.records import overwrite, store_of
from tests.conformance.cache.test_leases import leases
from tests.conformance.cache.test_sweeps import evicted, swept


async def spoil(place: Place, cache: Cache, key: str) -> None:
    """Makes the metadata of an entry unreadable."""
    database = getattr(place.backend, "_db", None)
    if database is None:
        await overwrite(place, keys.entry(cache.space, key), b"no JSON")
        return
    sql = "UPDATE entries SET kind = 99 WHERE space = ? AND key = ?"
    await database.write(lambda tx: tx.execute(sql, (cache.space, key)))


async def test_what_nobody_can_read_goes_as_all_else_does(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "a", "b", tags=("t",))
    await place.backend.change(cache, [grant("a"), grant("b")])
    await place.backend.follow(cache)
    start, _ = await place.backend.feed(cache).bounds()
    await spoil(place, cache, "a")
    [bad, good] = await place.backend.inspect(cache, "", 10)
    assert isinstance(bad, Unreadable) and not isinstance(good, Unreadable)
    gone = await place.backend.discard(cache, [Mark("a", 0.0)], expire_only=False, cause=Cause.VERIFY)
    assert gone == Discarded(0, 1)
    assert await leases(place, cache, "a", "b") == {"b"}
    told = [(each.scope, each.text, each.cause) for _, each in await place.backend.feed(cache).after(start, 10)]
    assert told == [(Scope.KEY, "a", Cause.VERIFY)]
    await place.backend.recount(cache, repair=True)
    assert list(await place.backend.recount(cache, repair=False)) == []
    assert await place.backend.usage(cache) == Usage(1, 0, 5, 5)
    marks = await place.backend.select(cache, Selector(tags=("t",)), "", 10, living=False)
    assert [mark.key for mark in marks] == ["b"]


async def emptied(place: Place, cache: Cache) -> None:
    while await place.backend.drop(cache.space):
        pass


async def test_what_nobody_can_read_is_evicted_expired_and_dropped(place: Place) -> None:
    async def expired(place: Place, cache: Cache) -> None:
        await swept(place)

    async def pushed_out(place: Place, cache: Cache) -> None:
        assert await evicted(place, cache) == 2

    ways: list[tuple[Callable[[Place, Cache], Awaitable[None]], dict[str, object], float]] = [
        (pushed_out, {"max_entries": 2}, 100.0),
        (expired, {}, -1.0),
        (emptied, {}, 100.0),
    ]
    for way, rules, life in ways:
        cache = await place.make(**rules)
        await place.put(cache, "a", expire_time=lambda now, life=life: now + life, update_time=lambda now: now - 50)
        await place.put(cache, "b", update_time=lambda now: now - 25)
        await place.put(cache, "c")
        await spoil(place, cache, "a")
        await way(place, cache)
        left = {entry.key for entry in await place.backend.inspect(cache, "", 10)}
        assert left == {pushed_out: {"c"}, expired: {"b", "c"}, emptied: set()}[way]


async def test_indexes_of_uses_and_ends_are_mended(place: Place) -> None:
    store, cache = store_of(place), await place.make(max_entries=2)
    await place.put(cache, "a", "b", "c", tags=("t",), expire_time=lambda now: now - 1)
    [record] = await store.get([keys.entry(cache.space, "a")])
    assert record is not None
    held = load_entry("a", record)
    assert isinstance(held, Held)
    assert held.purge_time is not None
    await overwrite(place, keys.rank(cache.space, held.worth, "a"), None)
    await overwrite(place, keys.rank(cache.space, held.worth - 5, "b"), b"")
    await overwrite(place, keys.rank(cache.space, held.worth - 5, "nothing"), b"")
    await overwrite(place, keys.due(held.purge_time, keys.entry(cache.space, "a")), None)
    await overwrite(place, keys.tag(cache.space, "t", "c"), None)
    assert len(await place.backend.recount(cache, repair=False)) == 5
    await place.backend.recount(cache, repair=True)
    assert list(await place.backend.recount(cache, repair=False)) == []
    assert (await swept(place)).get(cache.space) == 3
    assert await place.backend.usage(cache) == Usage()


async def test_a_wrong_end_is_looked_at_once(place: Place) -> None:
    store, cache = store_of(place), await place.make()
    await place.put(cache, "a")
    wrong = keys.due(time.time() - 100, keys.entry(cache.space, "a"))
    await overwrite(place, wrong, b"default")
    await swept(place)
    assert await store.get([wrong]) == [None]
    assert await place.keys(cache) == ["a"]


async def test_all_caches_count_a_blob_that_is_packed_anew(place: Place) -> None:
    one, two = await place.make(), await place.make()
    blob = blob_of(b"x" * 100, "l1")
    for cache in (one, two):
        await place.backend.change(cache, [put("a", draft=fresh(blob)), put("b", draft=fresh(blob))])
    smaller = replace(blob, locator="l2", stored_size=40)
    await place.backend.change(one, [put("c", draft=fresh(smaller))])
    for cache, entries in ((one, 3), (two, 2)):
        assert await place.backend.usage(cache) == Usage(entries, 1, 100 * entries, 40)
        assert list(await place.backend.recount(cache, repair=False)) == []
