from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sutler.errors import NotFound
from sutler.idempotency import RequestRepeated

from services.cache.caches import Compression, Usage
from services.cache.changes import Row, Store, View
from services.cache.entries import Entry, Kind
from services.cache.faults import cache_full, entry_not_found
from tests.conformance.cache.places import Place, entry_of, look, once, put, remove, renew


async def test_what_is_put_is_read_by_all(place: Place) -> None:
    cache = await place.make()
    more = {
        "kind": Kind.JSON,
        "content_type": "text/plain",
        "data_type": "json",
        "metadata": '{"a": 1.0,\t"b": "\\u00e9\\n"}',
        "tags": ("b", "a/ä", "0:"),
        "hit_count": 3,
        "access_time": 5.5,
        "packing": Compression.ZSTD,
        "signature": "s",
    }
    [stored] = await place.put(cache, "k", value=b"\0\xff\n", **more)
    found = await (place.other or place.backend).get(cache, "k", value=True)
    assert found.entry == stored and found.entry.value == b"\0\xff\n"
    assert found.now >= stored.put_time
    without = await place.backend.get(cache, "k", value=False)
    assert without.entry is not None and replace(without.entry, value=b"\0\xff\n") == stored


async def test_any_key_is_a_key(place: Place) -> None:
    cache = await place.make()
    names = ["\0", "\x01", "../etc", "a/b", "a", "é", "\N{GRINNING FACE}", "x" * 1024, "\uffff", "%00", "'"]
    await place.put(cache, *names)
    assert await place.keys(cache) == sorted(names)
    found, _ = await place.backend.get_many(cache, [*names, "none"], value=True)
    assert set(found) == set(names) and all(entry.value == b"value" for entry in found.values())
    await place.backend.change(cache, [remove(name) for name in names])
    assert await place.backend.usage(cache) == Usage()


async def test_nothing_is_there_of_what_was_not_put(place: Place) -> None:
    cache, other = await place.make(), await place.make()
    await place.put(cache, "k")
    assert (await place.backend.get(other, "k", value=True)).entry is None
    assert (await place.backend.get(cache, "K", value=True)).entry is None
    assert await place.backend.usage(other) == Usage()


async def test_rows_see_what_rows_before_them_left(place: Place) -> None:
    cache = await place.make()
    seen: list[View] = []
    await place.backend.change(
        cache, [put("k", b"1"), look("k", seen), put("k", b"22"), look("k", seen), remove("k"), look("k", seen)]
    )
    *_, first, second, third = seen
    assert first.entry is not None and first.entry.value == b"1" and first.usage == Usage(1, 0, 1, 1)
    assert second.entry is not None and second.entry.value == b"22" and second.usage == Usage(1, 0, 2, 2)
    assert third.entry is None and third.usage == Usage()


async def test_a_row_that_refuses_stops_no_other(place: Place) -> None:
    cache = await place.make()
    refusal = entry_not_found(cache.name, "b")

    def refuse(view: View) -> Store:
        raise refusal

    changed = await place.backend.change(cache, [put("a"), Row("b", refuse), put("c")])
    assert isinstance(changed.results[1], NotFound) and changed.results[1].reason == "ENTRY_NOT_FOUND"
    assert await place.keys(cache) == ["a", "c"]
    assert changed.usage == await place.backend.usage(cache) == Usage(2, 0, 10, 10)


async def test_a_new_life_leaves_the_rest(place: Place) -> None:
    cache = await place.make()
    [stored] = await place.put(cache, "k", tags=("t",), metadata='{"n": 1}')
    await place.backend.change(cache, [renew("k", 500.0)])
    found = (await place.backend.get(cache, "k", value=True)).entry
    assert found is not None and found.expire_time is not None and found.expire_time > stored.put_time + 400
    assert replace(found, ttl=stored.ttl, expire_time=stored.expire_time, life_time=stored.life_time) == stored


async def test_what_has_expired_makes_room(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "old", expire_time=lambda now: now - 1)

    def decide(view: View) -> Store:
        if view.usage.entries:
            raise cache_full(cache.name, "max_entries", 1)
        return Store(entry_of("new", view.now))

    [result] = (await place.backend.change(cache, [Row("new", decide)])).results
    assert isinstance(result, Entry)
    assert await place.backend.usage(cache) == Usage(1, 0, 5, 5)


async def test_a_request_is_answered_once(place: Place) -> None:
    cache = await place.make()
    await place.backend.change(cache, [put("k", b"1")], once("r1"))
    with pytest.raises(RequestRepeated) as repeated:
        await place.backend.change(cache, [put("k", b"2")], once("r1"))
    assert (repeated.value.first.hash, repeated.value.first.answer) == (b"hash", b"answer")
    found = (await place.backend.get(cache, "k", value=True)).entry
    assert found is not None and found.value == b"1"


async def test_a_refusal_is_not_remembered(place: Place) -> None:
    cache = await place.make()

    def refuse(view: View) -> Store:
        raise entry_not_found(cache.name, "k")

    await place.backend.change(cache, [Row("k", refuse)], once("r2"))
    await place.backend.change(cache, [put("k")], once("r2"))
    assert await place.keys(cache) == ["k"]


async def test_of_the_same_request_at_once_one_is_done(place: Place) -> None:
    cache = await place.make()
    backends = [place.backend, place.other or place.backend] * 5
    done = await asyncio.gather(
        *(backend.change(cache, [put("k")], once("r3")) for backend in backends), return_exceptions=True
    )
    assert sum(isinstance(result, RequestRepeated) for result in done) == len(backends) - 1


async def test_no_change_is_lost(place: Place) -> None:
    cache = await place.make()

    def more(view: View) -> Store:
        before = int(view.entry.value or b"0") if view.entry else 0
        return Store(entry_of("n", view.now, b"%d" % (before + 1)))

    backends = [place.backend, place.other or place.backend] * 50
    await asyncio.gather(*(backend.change(cache, [Row("n", more, with_value=True)]) for backend in backends))
    found = (await place.backend.get(cache, "n", value=True)).entry
    assert found is not None and found.value == b"100"
    assert await place.backend.usage(cache) == Usage(1, 0, 3, 3)


async def test_processes_do_not_get_into_each_others_way(place: Place) -> None:
    cache = await place.make()
    backends = [place.backend, place.other or place.backend]
    await asyncio.gather(
        *(backends[number % 2].change(cache, [put(f"k{number}", tags=("t",))]) for number in range(100))
    )
    assert (await place.backend.usage(cache)).entries == len(await place.keys(cache)) == 100
    assert await place.backend.recount(cache, repair=False) == []
