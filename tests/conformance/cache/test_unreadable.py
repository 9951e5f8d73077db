"""Entries whose metadata somebody spoilt: told as what they are, and in nobody's way."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from services.cache.accesses import Access
from services.cache.adapters.database import DatabaseEntries
from services.cache.adapters.ordered import keys
from services.cache.caches import Cache, Eviction, Usage
from services.cache.changes import Draft, Row, View
from services.cache.entries import Entry, Unreadable
from services.cache.leases import Lease
from services.cache.selectors import Selector
from tests.conformance.cache.places import Place, blob_of, fresh, grant, look, put, remove, wanted
from tests.conformance.cache.records import overwrite, record_of


async def spoil(place: Place, cache: Cache, key: str, *, wholly: bool = True) -> None:
    """Makes the metadata of an entry unreadable: all of its record, where it has one, or a part only."""
    backend = place.backend
    if isinstance(backend, DatabaseEntries):
        spoilt = "UPDATE entries SET kind = 99 WHERE space = ? AND key = ?"
        if wholly:
            spoilt = "UPDATE entries SET tags = '[broken' WHERE space = ? AND key = ?"
        await backend._db.write(lambda tx: tx.execute(spoilt, (cache.space, key)))
        return
    record = await record_of(place, keys.entry(cache.space, key))
    broken = b"{broken" if wholly else record.replace(b'"BYTES"', b'"LOST"')
    await overwrite(place, keys.entry(cache.space, key), broken)


async def left(place: Place, cache: Cache) -> list[str]:
    return [entry.key for entry in await place.backend.inspect(cache, "", 100)]


async def test_readers_are_told_and_others_are_read(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "a", "broken", "whole", tags=("t",))
    await place.backend.change(cache, [grant("broken")])
    await spoil(place, cache, "broken")
    found = await place.backend.get(cache, "broken", value=True, lease=True)
    assert isinstance(found.entry, Unreadable) and found.entry.key == "broken"
    assert found.lease is not None and found.lease.key == "broken"
    assert isinstance((await place.backend.get(cache, "broken", value=False)).entry, Unreadable)
    many, _ = await place.backend.get_many(cache, ["broken", "none", "whole"], value=True)
    assert {key: type(each) for key, each in many.items()} == {"broken": Unreadable, "whole": Entry}
    assert [type(each) for each in await place.backend.inspect(cache, "", 10)] == [Entry, Unreadable, Entry]


@pytest.mark.parametrize("metadata", ["[]", "{", ""])
async def test_metadata_are_an_object(place: Place, metadata: str) -> None:
    cache = await place.make()
    await place.put(cache, "broken")
    if isinstance(place.backend, DatabaseEntries):
        spoilt = "UPDATE entries SET metadata = ? WHERE space = ? AND key = 'broken'"
        await place.backend._db.write(lambda tx: tx.execute(spoilt, (metadata, cache.space)))
    else:
        described, _, _ = (await record_of(place, keys.entry(cache.space, "broken"))).partition(b"\n")
        await overwrite(place, keys.entry(cache.space, "broken"), described + b"\n" + metadata.encode())
    assert isinstance((await place.backend.get(cache, "broken", value=True)).entry, Unreadable)


async def test_lists_go_past_it(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "a", "b", "c", "d", "e")
    for key in ("a", "c", "d"):
        await spoil(place, cache, key)
    assert await place.keys(cache) == ["b", "e"]
    first = await place.backend.page(cache, wanted(limit=1))
    assert ([entry.key for entry in first.entries], first.more) == (["b"], True)
    last = await place.backend.page(cache, wanted(limit=1, after=first.positions[0]))
    assert ([entry.key for entry in last.entries], last.more) == (["e"], False)


def stored(key: str, **fields: Any) -> Row:
    """A put of a value in a blob that is known."""
    return put(key, draft=Draft(replace(blob_of(b"x" * 100, "l1"), locator=""), 0.0), **fields)


async def test_a_put_takes_its_place(place: Place) -> None:
    cache = await place.make()
    fields = {"data_type": "numpy", "tags": ("t",), "expire_time": lambda now: now + 500}
    await place.put(cache, "inline", **fields)
    await place.backend.change(cache, [put("blob", draft=fresh(blob_of(b"x" * 100, "l1")), **fields)])
    await place.backend.change(cache, [grant("inline")])
    for key in ("inline", "blob"):
        await spoil(place, cache, key, wholly=False)
    changed = await place.backend.change(cache, [put("inline", b"longer value", tags=("u",)), stored("blob")])
    assert [type(result) for result in changed.results] == [Entry, Entry]
    assert changed.lost_leases == 1
    assert await place.backend.usage(cache) == changed.usage == Usage(2, 1, 112, 112)
    assert list(await place.backend.recount(cache, repair=False)) == []
    assert await place.backend.data_types("default", ()) == {}
    marks = [await place.backend.select(cache, Selector(tags=(tag,)), "", 10, living=True) for tag in ("t", "u")]
    assert [[mark.key for mark in each] for each in marks] == [[], ["inline"]]
    found = await place.backend.get(cache, "inline", value=True)
    assert isinstance(found.entry, Entry) and found.entry.value == b"longer value"


async def test_a_removal_takes_it_away(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "whole", data_type="numpy", tags=("t",))
    await place.put(cache, "broken", data_type="numpy", tags=("t",))
    await place.backend.change(cache, [grant("broken")])
    await place.backend.follow(cache)
    start, _ = await place.backend.feed(cache).bounds()
    await spoil(place, cache, "broken", wholly=False)
    changed = await place.backend.change(cache, [remove("broken")])
    assert (list(changed.results), changed.usage, changed.lost_leases) == ([None], Usage(1, 0, 5, 5), 1)
    assert [told.text for _, told in await place.backend.feed(cache).after(start, 10)] == ["broken"]
    assert list(await place.backend.recount(cache, repair=False)) == []
    assert await place.backend.data_types("default", ()) == {"numpy": 1}


async def test_decisions_see_it_and_a_refusal_leaves_it(place: Place) -> None:
    cache, seen = await place.make(), list[View]()
    await place.put(cache, "broken")
    await spoil(place, cache, "broken")
    given = grant("broken")
    [_, lease] = (await place.backend.change(cache, [look("broken", seen), given])).results
    assert isinstance(seen[-1].entry, Unreadable) and isinstance(lease, Lease)
    assert isinstance((await place.backend.get(cache, "broken", value=False)).entry, Unreadable)


async def test_a_recount_sets_right_what_nothing_tells_of(place: Place) -> None:
    """Of a record that is all broken nobody knows the blob, the data type, the tags."""
    cache = await place.make()
    blob, kinds = blob_of(b"x" * 100, "l1"), {"data_type": "numpy", "tags": ("t",)}
    await place.backend.change(cache, [put(key, draft=fresh(blob), **kinds) for key in ("a", "b", "broken")])
    await place.put(cache, "inline", data_type="numpy")
    for key in ("broken", "inline"):
        await spoil(place, cache, key)
    await place.backend.change(cache, [remove("broken"), put("inline", data_type="pandas")])
    await place.backend.recount(cache, repair=True)
    assert list(await place.backend.recount(cache, repair=False)) == []
    assert await place.backend.usage(cache) == Usage(3, 1, 205, 105)
    assert await place.backend.data_types("default", ()) == {"numpy": 2, "pandas": 1}
    await place.backend.change(cache, [remove("a")])
    assert await place.backend.blob(cache, blob.sha256) is not None
    await place.backend.change(cache, [remove("b")])
    assert await place.backend.blob(cache, blob.sha256) is None
    assert await place.backend.known(["l1"]) == {"l1"}
    assert await place.backend.garbage("files", 10) == ["l1"]


@pytest.mark.parametrize("selector", [Selector(everything=True), Selector(tags=("t",)), Selector(prefix="b")])
async def test_an_invalidation_removes_it(place: Place, selector: Selector) -> None:
    cache = await place.make()
    await place.put(cache, "broken", "bw", tags=("t",))
    await spoil(place, cache, "broken")
    marks = await place.backend.select(cache, selector, "", 10, living=False)
    assert [mark.key for mark in marks] == ["broken", "bw"]
    await place.backend.discard(cache, marks, expire_only=False)
    assert await left(place, cache) == []


async def test_expiry_goes_on(place: Place) -> None:
    cache, other = await place.make(), await place.make()
    await place.put(cache, "broken", "whole", expire_time=lambda now: now - 1)
    await place.put(other, "whole", expire_time=lambda now: now - 1)
    await spoil(place, cache, "broken")
    while (await place.backend.expire()).more:
        pass
    assert [await left(place, each) for each in (cache, other)] == [[], []]
    assert (await place.backend.usage(cache)).entries == 0


async def test_eviction_goes_on(place: Place) -> None:
    cache = await place.make(max_entries=2, eviction=Eviction.LRU)
    await place.put(cache, "broken", "first", "second", "third")
    await spoil(place, cache, "broken")
    while (await place.backend.evict(cache)).more:
        pass
    usage = await place.backend.usage(cache)
    assert usage.entries <= 2
    assert "broken" not in await left(place, cache)


async def test_a_deleted_cache_goes_on_being_emptied(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "broken", "whole")
    await spoil(place, cache, "broken")
    while await place.backend.drop(cache.space):
        pass
    assert await left(place, cache) == []


async def test_accesses_of_others_are_counted(place: Place) -> None:
    cache = await place.make()
    stored = await place.put(cache, "broken", "whole")
    await spoil(place, cache, "broken")
    await place.backend.record(
        [Access(cache.space, entry.key, entry.put_time, False, 1, time.time()) for entry in stored]
    )
    found = await place.backend.get(cache, "whole", value=False)
    assert isinstance(found.entry, Entry)
    assert found.entry.hit_count == 1


async def test_room_that_is_needed_is_made(place: Place) -> None:
    """A full cache that does not evict gives the room of what has expired, readable or not."""
    cache = await place.make()
    await place.put(cache, "broken", "gone", expire_time=lambda now: now - 1)
    await spoil(place, cache, "broken")
    await place.put(cache, "new")
    assert (await place.backend.get(cache, "new", value=False)).entry is not None
