"""Entries whose metadata somebody spoilt: told as what they are, and in nobody's way."""

from __future__ import annotations

import time

import pytest
from sutler.errors import Code, DataLoss

from services.cache.accesses import Access
from services.cache.adapters.database import DatabaseEntries
from services.cache.adapters.ordered import OrderedEntries, keys
from services.cache.caches import Cache, Eviction
from services.cache.entries import Entry
from services.cache.results import Unreadable
from services.cache.selectors import Selector
from tests.conformance.cache.places import Place


async def spoil(place: Place, cache: Cache, key: str) -> None:
    """Makes the metadata of an entry unreadable."""
    backend = place.backend
    if isinstance(backend, DatabaseEntries):
        spoilt = "UPDATE entries SET tags = '[broken' WHERE space = ? AND key = ?"
        await backend._db.write(lambda tx: tx.execute(spoilt, (cache.space, key)))
        return
    assert isinstance(backend, OrderedEntries)
    name = keys.entry(cache.space, key)
    [record] = await backend._store.get([name])
    assert record is not None
    assert await backend._store.commit((name, record), {name: b"{broken"})


async def left(place: Place, cache: Cache) -> list[str]:
    return [entry.key for entry in await place.backend.inspect(cache, "", 100)]


async def test_it_is_told_and_others_are_read(place: Place) -> None:
    cache = await place.make()
    await place.put(cache, "broken", "whole", tags=("t",))
    await spoil(place, cache, "broken")
    for look in (
        place.backend.get(cache, "broken", value=True),
        place.backend.get(cache, "broken", value=True, lease=True),
        place.backend.get_many(cache, ["broken", "whole"], value=False),
        place.keys(cache),
        place.put(cache, "broken"),
    ):
        with pytest.raises(DataLoss) as caught:
            await look
        assert (caught.value.code, caught.value.reason) == (Code.DATA_LOSS, "STORAGE_UNAVAILABLE")
        assert caught.value.metadata == {"what": "an entry"}
    assert isinstance((await place.backend.get(cache, "whole", value=True)).entry, Entry)
    found = await place.backend.inspect(cache, "", 10)
    assert [type(each) for each in found] == [Unreadable, Entry]


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
    assert found.entry is not None
    assert found.entry.hit_count == 1


async def test_room_that_is_needed_is_made(place: Place) -> None:
    """A full cache that does not evict gives the room of what has expired, readable or not."""
    cache = await place.make()
    await place.put(cache, "broken", "gone", expire_time=lambda now: now - 1)
    await spoil(place, cache, "broken")
    await place.put(cache, "new")
    assert (await place.backend.get(cache, "new", value=False)).entry is not None
