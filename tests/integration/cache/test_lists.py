from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from sutler.cache.v1 import cache_pb2 as pb
from sutler.errors import Code

from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.places import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def pages(shelf: Shelf, **fields: Any) -> list[list[str]]:
    request = pb.ListEntriesRequest(cache=shelf.name, **fields)
    found = []
    while True:
        page = await shelf.client.cache.ListEntries(request)
        found.append([entry.key for entry in page.entries])
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_entries_are_listed_by_key_without_values_and_accesses(shelf: Shelf) -> None:
    for key in ("b", "a", "C", "ä", "\0", "\0a", "\x01"):
        await shelf.put(key, b"value")
    ordered = sorted(["b", "a", "C", "ä", "\0", "\0a", "\x01"])
    assert await pages(shelf, page_size=3) == [ordered[:3], ordered[3:6], ordered[6:]]
    answer = await shelf.client.cache.ListEntries(pb.ListEntriesRequest(cache=shelf.name))
    assert not any(entry.HasField("value") or entry.hit_count for entry in answer.entries)
    assert answer.entries[0].size_bytes == 5


async def test_prefixes(shelf: Shelf) -> None:
    for key in ("a", "ab", "ab/c", "ac", "b", "a\0", "a\0b", "a%", "\U0010ffff", "\U0010ffffx"):
        await shelf.put(key, b"x")
    assert await shelf.keys(prefix="ab") == ["ab", "ab/c"]
    assert await shelf.keys(prefix="a\0") == ["a\0", "a\0b"]
    assert await shelf.keys(prefix="a%") == ["a%"]
    assert await shelf.keys(prefix="\U0010ffff") == ["\U0010ffff", "\U0010ffffx"]
    assert await shelf.keys(prefix="none") == []


async def test_filters_and_orders(shelf: Shelf) -> None:
    for number, key in enumerate("dcba"):
        data = Struct()
        data.update({"rows": number, "owner": {"team": "ab"[number % 2]}})
        await shelf.put(key, b"x" * (number + 1), metadata=data, tags=[f"t{number % 2}", "all"], data_type="numpy")
    await shelf.put("e", b"")
    assert await shelf.keys(filter="metadata.rows >= 2") == ["a", "b"]
    assert await shelf.keys(filter='metadata.owner.team = "a"') == ["b", "d"]
    assert await shelf.keys(filter="tags:t1 AND size_bytes > 2") == ["a"]
    assert await shelf.keys(filter="NOT tags:all") == ["e"]
    assert await shelf.keys(filter='key = "a*" OR key = "d"') == ["a", "d"]
    assert await shelf.keys(filter="data_type = numpy AND hit_count = 0", order_by="size_bytes desc") == list("abcd")
    assert await shelf.keys(order_by="metadata.rows desc, key") == ["a", "b", "c", "d", "e"]
    assert await pages(shelf, order_by="metadata.rows", page_size=2) == [["e", "d"], ["c", "b"], ["a"]]
    assert await pages(shelf, order_by="data_type desc, size_bytes", page_size=2) == [["d", "c"], ["b", "a"], ["e"]]
    assert await shelf.keys(filter="ttl = 86400s AND expire_time > 2020-01-01T00:00:00Z") == list("abcde")


async def test_bad_filters_and_orders(shelf: Shelf, place: Place) -> None:
    escaped = ['key = "\x01"'] if place.metadata == "local" else []
    for text in ("value = x", "size_bytes = many", "key", *escaped):
        with refused(Code.INVALID_ARGUMENT, "FILTER_INVALID"):
            await shelf.keys(filter=text)
    with refused(Code.INVALID_ARGUMENT, "ORDER_BY_INVALID"):
        await shelf.keys(order_by="tags")
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await Shelf(shelf.client, "caches/none").keys()


async def test_a_page_token_belongs_to_its_request(shelf: Shelf) -> None:
    for key in "abc":
        await shelf.put(key, b"x")
    first = await shelf.client.cache.ListEntries(pb.ListEntriesRequest(cache=shelf.name, page_size=1))
    with refused(Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
        await shelf.keys(page_token=first.next_page_token, filter="size_bytes = 1")
    assert await shelf.keys(page_token=first.next_page_token, page_size=9) == ["b", "c"]


async def test_a_page_ends_before_it_is_too_large(shelf: Shelf) -> None:
    data = Struct()
    data.update({"text": "x" * 900_000})
    for number in range(5):
        await shelf.put(f"k{number}", b"x", metadata=data)
    found = await pages(shelf)
    assert [key for page in found for key in page] == [f"k{number}" for number in range(5)]
    assert len(found) > 1


async def test_expired_entries_are_left_out(client: Any, make_cache: Any) -> None:
    shelf = Shelf(client, await make_cache(stale_retention=Duration(seconds=60)))
    await shelf.put("short", b"x", ttl=Duration(nanos=50_000_000))
    await shelf.put("long", b"x")

    async def gone() -> bool:
        return await shelf.reason("short") == "ENTRY_EXPIRED"

    await eventually(gone)
    assert await shelf.keys() == ["long"]
