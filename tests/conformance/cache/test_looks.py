from __future__ import annotations

from typing import Any

import pytest
from sutler.errors import Invalid
from sutler.paging import Order

from services.cache.caches import Cache
from services.cache.entries import Entry
from services.cache.results import Discarded, Unreadable
from services.cache.selectors import Selector
from tests.conformance.cache.places import Place, blob_of, fresh, put, remove, wanted

SOME: dict[str, dict[str, Any]] = {
    "a1": {"tags": ("x", "y"), "metadata": '{"n": 2}', "data_type": "json"},
    "a2": {"tags": ("y",), "metadata": '{"n": "text"}'},
    "b": {"tags": (), "metadata": "{}", "value": b"longer value"},
    "c": {"tags": ("x/y", "é"), "metadata": '{"n": 1, "deep": {"m": true}}', "data_type": "json"},
}


async def filled(place: Place, **rules: Any) -> Cache:
    cache = await place.make(**rules)
    for key, fields in SOME.items():
        await place.put(cache, key, **fields)
    await place.put(cache, "expired", tags=("x",), expire_time=lambda now: now - 1)
    return cache


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["a1", "a2", "b", "c"]),
        ({"prefix": "a"}, ["a1", "a2"]),
        ({"prefix": "zz"}, []),
        ({"text": "tags:x"}, ["a1"]),
        ({"text": 'tags:"x/y" OR key = "b"'}, ["b", "c"]),
        ({"text": "metadata.n >= 1"}, ["a1", "c"]),
        ({"text": "metadata.deep.m = true"}, ["c"]),
        ({"text": "NOT metadata.n:*"}, ["b"]),
        ({"text": "size_bytes > 5"}, ["b"]),
        ({"text": 'key = "a*" AND data_type = "json"', "prefix": "a"}, ["a1"]),
        ({"orders": (Order("key", True),)}, ["c", "b", "a2", "a1"]),
        ({"orders": (Order("metadata.n"), Order("key"))}, ["b", "c", "a1", "a2"]),
        ({"orders": (Order("metadata.n", True), Order("key"))}, ["a2", "a1", "c", "b"]),
        ({"orders": (Order("data_type", True), Order("key", True))}, ["c", "a1", "b", "a2"]),
        ({"orders": (Order("size_bytes", True), Order("key"))}, ["b", "a1", "a2", "c"]),
        ({"orders": (Order("access_time"), Order("key"))}, ["a1", "a2", "b", "c"]),
    ],
)
async def test_lists_are_filtered_ordered_and_paged(place: Place, query: dict[str, Any], expected: list[str]) -> None:
    cache = await filled(place)
    assert await place.keys(cache, **query) == expected
    for limit in (1, 3):
        found: list[str] = []
        after, more = None, True
        while more:
            listed = await place.backend.page(cache, wanted(**query, limit=limit, after=after))
            found += [entry.key for entry in listed.entries]
            after, more = listed.positions[-1] if listed.positions else None, listed.more
        assert found == expected


async def test_lists_have_no_values_but_all_else(place: Place) -> None:
    cache = await filled(place)
    listed = await place.backend.page(cache, wanted(prefix="c"))
    whole = (await place.backend.get(cache, "c", value=False)).entry
    assert list(listed.entries) == [whole] and whole is not None and whole.value is None


async def test_a_page_of_another_order_is_refused(place: Place) -> None:
    cache = await filled(place)
    with pytest.raises(Invalid) as refused:
        await place.backend.page(cache, wanted(orders=(Order("size_bytes"), Order("key")), after=["a"]))
    assert refused.value.reason == "PAGE_TOKEN_INVALID"


async def test_pages_stay_small(place: Place) -> None:
    cache = await place.make()
    large = '{"a": "' + "x" * 900_000 + '"}'
    for number in range(5):
        await place.put(cache, f"k{number}", metadata=large)
    listed = await place.backend.page(cache, wanted(limit=100))
    assert 1 <= len(listed.entries) < 5 and listed.more


@pytest.mark.parametrize(
    ("selector", "living", "all_of_them"),
    [
        (Selector(keys=("b", "a1", "none")), ["a1", "b"], ["a1", "b"]),
        (Selector(tags=("x", "y")), ["a1", "a2"], ["a1", "a2", "expired"]),
        (Selector(tags=("é",)), ["c"], ["c"]),
        (Selector(prefix="a"), ["a1", "a2"], ["a1", "a2"]),
        (Selector(filter=wanted("metadata.n:*").filter), ["a1", "a2", "c"], ["a1", "a2", "c"]),
        (Selector(everything=True), ["a1", "a2", "b", "c"], ["a1", "a2", "b", "c", "expired"]),
    ],
    ids=["keys", "tags", "a tag", "prefix", "filter", "all"],
)
async def test_selections(place: Place, selector: Selector, living: list[str], all_of_them: list[str]) -> None:
    cache = await filled(place)
    for alive, expected in ((True, living), (False, all_of_them)):
        marks = await place.backend.select(cache, selector, "", 100, living=alive)
        assert [mark.key for mark in marks] == expected
        found: list[str] = []
        while marks := await place.backend.select(cache, selector, found[-1] if found else "", 1, living=alive):
            found += [mark.key for mark in marks]
        assert found == expected


async def test_tags_go_with_their_entries(place: Place) -> None:
    cache = await filled(place)
    await place.put(cache, "a1", tags=("z",))
    await place.backend.change(cache, [remove("a2")])
    for tags, expected in ((("x", "y"), []), (("z",), ["a1"])):
        marks = await place.backend.select(cache, Selector(tags=tags), "", 100, living=True)
        assert [mark.key for mark in marks] == expected


@pytest.mark.parametrize("expire_only", [False, True])
async def test_discarding_leaves_what_was_put_anew(place: Place, expire_only: bool) -> None:
    cache = await filled(place, stale_retention=60.0)
    marks = await place.backend.select(cache, Selector(everything=True), "", 100, living=False)
    await place.put(cache, "b", put_time=lambda now: now + 1)
    assert await place.backend.discard(cache, marks, expire_only=expire_only) == Discarded(3, 0)
    assert await place.keys(cache) == ["b"]
    kept = await place.backend.inspect(cache, "", 100)
    assert len(kept) == (5 if expire_only else 1)


async def test_an_inspection_shows_everything(place: Place) -> None:
    cache = await filled(place)
    blob = blob_of(b"x" * 10, "l1")
    await place.backend.change(cache, [put("blob", draft=fresh(blob))])
    found = await place.backend.inspect(cache, "a1", 100)
    assert not any(isinstance(each, Unreadable) for each in found)
    entries = {entry.key: entry for entry in found if isinstance(entry, Entry)}
    assert list(entries) == ["a2", "b", "blob", "c", "expired"]
    assert entries["b"].value == b"longer value" and entries["blob"].value is None
    assert entries["blob"].blob is not None and entries["blob"].blob.locator == "l1"
    assert len(await place.backend.inspect(cache, "", 2)) == 2


async def test_data_types_are_counted(place: Place) -> None:
    cache = await filled(place)
    assert await place.backend.data_types("default", ()) == {"json": 2}
    await place.put(cache, "c", data_type="numpy")
    assert await place.backend.data_types("default", ()) == {"json": 1, "numpy": 1}
    await place.backend.change(cache, [remove("a1"), remove("c")])
    assert await place.backend.data_types("default", ()) == {}
    assert await place.backend.data_types("other", ()) == {}
