from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.errors import Code

from tests.integration.cache.calls import Shelf, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")

BUILTIN = [
    *("bytes", "dill", "json", "msgpack", "numpy", "pandas", "pandas-series", "pickle", "polars", "polars-series"),
    "text",
]


async def types(client: Sutler, **fields: Any) -> list[pb.DataType]:
    return list((await client.cache.ListDataTypes(pb.ListDataTypesRequest(page_size=1000, **fields))).data_types)


async def count_of(client: Sutler, name: str) -> int:
    return sum(each.entry_count for each in await types(client, filter=f'data_type = "{name}"'))


async def test_what_the_clients_write_is_listed(client: Sutler) -> None:
    found = await types(client, filter="builtin = true")
    assert [each.data_type for each in found] == BUILTIN
    assert [each.data_type for each in found if each.executable] == ["dill", "pickle"]
    assert all(each.description and each.content_types for each in found)


async def test_entries_count_by_their_type_in_all_caches(client: Sutler, make_cache: Any) -> None:
    one, two = [Shelf(client, await make_cache()) for _ in range(2)]
    mine, before = f"mine{uuid4().hex[:8]}", await count_of(client, "numpy")
    for shelf in (one, two):
        await shelf.put("a", b"x", data_type=mine)
        await shelf.put("b", b"x", data_type="numpy")
        await shelf.put("c", b"x")
    assert await count_of(client, "numpy") == before + 2
    [found] = await types(client, filter=f"data_type = {mine}")
    assert found == pb.DataType(data_type=mine, entry_count=2)
    await one.delete("a")
    assert await count_of(client, mine) == 1
    await client.cache.DeleteCache(pb.DeleteCacheRequest(name=two.name, force=True))
    assert await types(client, filter=f"data_type = {mine}") == []


async def test_types_are_ordered_filtered_and_paged(client: Sutler) -> None:
    by_use = await types(client, order_by="entry_count desc, data_type", filter="builtin = true")
    assert sorted(by_use, key=lambda each: (-each.entry_count, each.data_type)) == by_use
    wanted = pb.ListDataTypesRequest(page_size=4, filter='builtin = true AND content_types:"application/*"')
    names: list[str] = []
    while True:
        page = await client.cache.ListDataTypes(wanted)
        names += [each.data_type for each in page.data_types]
        if not page.next_page_token:
            break
        wanted.page_token = page.next_page_token
    assert names == [name for name in BUILTIN if name != "text"]
    with refused(Code.INVALID_ARGUMENT, "FILTER_INVALID"):
        await types(client, filter="colour = red")
    with refused(Code.INVALID_ARGUMENT, "ORDER_BY_INVALID"):
        await types(client, order_by="colour")
