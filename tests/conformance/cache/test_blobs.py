from __future__ import annotations

import time
from dataclasses import replace

import pytest

from services.cache.caches import Cache, Usage
from services.cache.changes import Draft
from services.cache.entries import Blob
from services.cache.faults import BlobGoneError
from tests.conformance.cache.places import Place, blob_of, fresh, look, put, remove


async def stored(place: Place, cache: Cache, key: str, blob: Blob) -> None:
    await place.backend.change(cache, [put(key, draft=fresh(blob))])


async def test_a_blob_is_counted_once_in_a_cache(place: Place) -> None:
    cache, blob = await place.make(), blob_of(b"x" * 1000, "l1")
    await stored(place, cache, "a", blob)
    await stored(place, cache, "b", replace(blob, locator=""))
    assert await place.backend.usage(cache) == Usage(2, 1, 2000, 1000)
    found = (await place.backend.get(cache, "b", value=True)).entry
    assert found is not None and found.value is None and found.blob is not None
    assert (found.blob.locator, found.blob.sha256, found.blob.stored_size) == ("l1", blob.sha256, 1000)
    listed, _ = await place.backend.get_many(cache, ["a", "b"], value=False)
    assert all(entry.blob and entry.blob.locator == "l1" for entry in listed.values())


async def test_a_blob_goes_with_its_last_reference(place: Place) -> None:
    cache, other, blob = await place.make(), await place.make(), blob_of(b"x" * 10, "l1")
    await stored(place, cache, "a", blob)
    await stored(place, other, "b", replace(blob, locator=""))
    await place.backend.change(cache, [remove("a")])
    assert await place.backend.garbage("files", 10) == []
    assert await place.backend.usage(cache) == Usage()
    assert await place.backend.known(["l1", "l2"]) == {"l1"}
    await place.backend.change(other, [put("b", b"small")])
    assert await place.backend.garbage("files", 10) == ["l1"] and await place.backend.garbage("others", 10) == []
    assert await place.backend.known(["l1"]) == {"l1"}
    assert await place.backend.blob(cache, blob.sha256) is None
    await place.backend.collected(["l1", "never"])
    assert await place.backend.garbage("files", 10) == [] and await place.backend.known(["l1"]) == set()


async def test_what_is_referred_to_is_not_collected(place: Place) -> None:
    cache = await place.make()
    await stored(place, cache, "a", blob_of(b"x", "l1"))
    await place.backend.collected(["l1"])
    assert await place.backend.known(["l1"]) == {"l1"}


async def test_a_newer_file_takes_the_place_of_an_older_one(place: Place) -> None:
    cache, blob = await place.make(), blob_of(b"x" * 10, "l1")
    await stored(place, cache, "a", blob)
    await stored(place, cache, "b", replace(blob, locator="l2"))
    found, _ = await place.backend.get_many(cache, ["a", "b"], value=False)
    assert {entry.blob.locator for entry in found.values() if entry.blob} == {"l2"}
    assert await place.backend.garbage("files", 10) == ["l1"]
    assert await place.backend.usage(cache) == Usage(2, 1, 20, 10)


async def test_the_same_value_again_keeps_the_blob(place: Place) -> None:
    cache, blob = await place.make(), blob_of(b"x" * 10, "l1")
    await stored(place, cache, "a", blob)
    await stored(place, cache, "a", replace(blob, locator=""))
    assert await place.backend.garbage("files", 10) == []
    assert await place.backend.usage(cache) == Usage(1, 1, 10, 10)


async def test_a_blob_that_is_gone_is_not_put(place: Place) -> None:
    cache, blob = await place.make(), blob_of(b"x" * 10, "")
    for draft in (Draft(blob, 0.0), Draft(replace(blob, locator="old"), time.time() - 60)):
        with pytest.raises(BlobGoneError):
            await place.backend.change(cache, [put("before"), put("a", draft=draft)])
    assert await place.keys(cache) == [] and await place.backend.known(["old"]) == set()


async def test_a_decision_sees_the_blobs_of_its_cache_only(place: Place) -> None:
    cache, other, blob = await place.make(), await place.make(), blob_of(b"x" * 10, "l1")
    await stored(place, cache, "a", blob)
    for where, expected in ((cache, "l1"), (other, None)):
        found: list[str | None] = []
        row = look("k", [])

        def decide(view, row=row, found=found):  # type: ignore[no-untyped-def]
            seen = view.blob(blob.sha256)
            found.append(seen and seen.locator)
            return row.decide(view)

        await place.backend.change(where, [replace(row, decide=decide)])
        assert found[-1] == expected
