"""Records beside the entries that somebody spoilt: none of them stands in anybody's way."""

from __future__ import annotations

import time

import orjson
import pytest
from sutler.errors import DataLoss
from sutler.idempotency import RequestRepeated

from services.cache.accesses import Access
from services.cache.adapters.database import DatabaseEntries
from services.cache.adapters.ordered import keys
from services.cache.caches import Cache, Usage
from services.cache.entries import Entry, Unreadable
from services.cache.leases import Lease
from services.cache.selectors import Selector
from services.cache.telling import Cause, Scope
from tests.conformance.cache.places import METHOD, Place, blob_of, fresh, grant, once, put, remove
from tests.conformance.cache.records import overwrite, record_of, store_of
from tests.conformance.cache.test_leases import leases
from tests.conformance.cache.test_sweeps import swept

SPOILT = [b"no JSON", b"[]", b"{}"]


async def spoil_lease(place: Place, cache: Cache, key: str, spoilt: bytes) -> None:
    if not isinstance(place.backend, DatabaseEntries):
        await overwrite(place, keys.lease(cache.space, key), spoilt)
        return
    sql = "UPDATE key_leases SET tags = '[broken' WHERE space = ? AND key = ?"
    await place.backend._db.write(lambda tx: tx.execute(sql, (cache.space, key)))


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_a_damaged_lease_is_none(place: Place, spoilt: bytes) -> None:
    cache = await place.make()
    await place.backend.change(cache, [grant("a"), grant("b"), grant("over", seconds=-1)])
    for key in ("a", "over"):
        await spoil_lease(place, cache, key, spoilt)
    assert await leases(place, cache, "a", "b") == {"b"}
    assert (await place.backend.get(cache, "a", value=True, lease=True)).lease is None
    await place.backend.announce(cache, [], Cause.INVALIDATE, ending=Selector(tags=("none",)))
    [again] = (await place.backend.change(cache, [grant("a", "next")])).results
    assert isinstance(again, Lease) and again.token == "next"
    await swept(place)
    assert await leases(place, cache, "a", "b", "over") == {"a", "b"}
    await spoil_lease(place, cache, "a", spoilt)
    await place.put(cache, "a")
    while await place.backend.drop(cache.space):
        pass
    assert await leases(place, cache, "a", "b") == set()


@pytest.mark.parametrize(
    ("field", "spoilt"), [("expire_time", "soon"), ("size_bytes", "5"), ("tags", "t"), ("tags", [1]), ("etag", None)]
)
async def test_fields_of_entries_have_their_types(place: Place, field: str, spoilt: object) -> None:
    store_of(place)
    cache = await place.make()
    await place.put(cache, "a", tags=("t",))
    described, _, metadata = (await record_of(place, keys.entry(cache.space, "a"))).partition(b"\n")
    changed = orjson.dumps({**orjson.loads(described), field: spoilt}) + b"\n" + metadata
    await overwrite(place, keys.entry(cache.space, "a"), changed)
    assert isinstance((await place.backend.get(cache, "a", value=True)).entry, Unreadable)
    await place.put(cache, "a")
    await place.backend.recount(cache, repair=True)
    assert await place.backend.usage(cache) == Usage(1, 0, 5, 5)


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_who_misses_news_forgets_everything(place: Place, spoilt: bytes) -> None:
    store_of(place)
    cache = await place.make()
    await place.backend.follow(cache)
    start, _ = await place.backend.feed(cache).bounds()
    await place.put(cache, "a", "b")
    await overwrite(place, keys.new(cache.space, start + 1), spoilt)
    told = await place.backend.feed(cache).after(start, 10)
    assert [(number - start, each.scope, each.text) for number, each in told] == [
        (1, Scope.ALL, ""),
        (2, Scope.KEY, "b"),
    ]


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_a_damaged_answer_is_none(place: Place, spoilt: bytes) -> None:
    store_of(place)
    cache = await place.make()
    await place.backend.change(cache, [put("a")], once("r"))
    with pytest.raises(RequestRepeated):
        await place.backend.change(cache, [put("a")], once("r"))
    await overwrite(place, keys.request("default", METHOD, "r"), spoilt)
    await place.backend.change(cache, [put("a")], once("r"))
    with pytest.raises(RequestRepeated):
        await place.backend.change(cache, [put("a")], once("r"))


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_a_damaged_blob_is_missing(place: Place, spoilt: bytes) -> None:
    store_of(place)
    cache, blob = await place.make(), blob_of(b"x" * 100, "l1")
    await place.backend.change(cache, [put("a", draft=fresh(blob)), put("b", draft=fresh(blob))])
    await overwrite(place, keys.blob("default", "files", blob.sha256), spoilt)
    assert await place.backend.blob(cache, blob.sha256) is None
    found = await place.backend.get(cache, "a", value=True)
    assert isinstance(found.entry, Entry) and found.entry.blob is not None and not found.entry.blob.locator
    await place.backend.change(cache, [remove("b")])
    again = blob_of(b"x" * 100, "l2")
    await place.backend.change(cache, [put("c", draft=fresh(again))])
    assert await place.backend.blob(cache, blob.sha256) == again
    await place.backend.recount(cache, repair=True)
    assert await place.backend.usage(cache) == Usage(2, 1, 200, 100)
    await place.backend.change(cache, [remove("c")])
    assert await place.backend.blob(cache, blob.sha256) == again  # "a" refers to it


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_a_damaged_cache_is_told_and_stops_no_other(place: Place, spoilt: bytes) -> None:
    store_of(place)
    cache, other = await place.make(), await place.make()
    [stored, _] = await place.put(cache, "a", "over", expire_time=lambda now: now - 1)
    [kept] = await place.put(other, "a")
    await place.put(other, "over", expire_time=lambda now: now - 1)
    await overwrite(place, keys.space(cache.space), spoilt)
    for call in (
        lambda: place.backend.usage(cache),
        lambda: place.put(cache, "b"),
        lambda: place.backend.feed(cache).bounds(),
        lambda: place.backend.recount(cache, repair=True),
    ):
        with pytest.raises(DataLoss) as caught:
            await call()
        assert caught.value.metadata == {"what": "a cache"}
    assert await swept(place) == {other.space: 1}
    accesses = [
        Access(each.space, entry.key, entry.put_time, False, 1, time.time())
        for each, entry in ((cache, stored), (other, kept))
    ]
    await place.backend.record(accesses)
    found = (await place.backend.get(other, "a", value=False)).entry
    assert isinstance(found, Entry) and found.hit_count == 1
    await overwrite(place, keys.space(cache.space), None)
    await place.backend.recount(cache, repair=True)
    assert await place.backend.usage(cache) == Usage(2, 0, 10, 10)
    assert await swept(place) == {cache.space: 2}


@pytest.mark.parametrize("spoilt", SPOILT)
async def test_a_damaged_count_of_a_data_type_is_counted_anew(place: Place, spoilt: bytes) -> None:
    store_of(place)
    cache = await place.make()
    await place.put(cache, "a", "b", data_type="numpy")
    await overwrite(place, keys.data_type("default", cache.space, "numpy"), spoilt)
    assert await place.backend.data_types("default", ()) == {}
    await place.backend.recount(cache, repair=True)
    assert await place.backend.data_types("default", ()) == {"numpy": 2}


async def test_a_blob_in_a_table_is_written_anew(place: Place) -> None:
    if not isinstance(place.backend, DatabaseEntries):
        pytest.skip("the entries are in records")
    cache, blob = await place.make(), blob_of(b"x" * 100, "l1")
    await place.backend.change(cache, [put("a", draft=fresh(blob)), put("b", draft=fresh(blob))])
    sql = "UPDATE blobs SET packing = 99 WHERE sha256 = ?"
    await place.backend._db.write(lambda tx: tx.execute(sql, (blob.sha256,)))
    assert isinstance((await place.backend.get(cache, "a", value=True)).entry, Unreadable)
    await place.backend.change(cache, [put("a", draft=fresh(blob_of(b"x" * 100, "l2")))])
    for key in ("a", "b"):
        found = (await place.backend.get(cache, key, value=True)).entry
        assert isinstance(found, Entry) and found.blob is not None and found.blob.locator == "l2"
    assert list(await place.backend.recount(cache, repair=False)) == []
