from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.errors import AlreadyExists, Code, Invalid

from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.places import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")


def fresh() -> str:
    return f"c{uuid4().hex[:12]}"


async def create(client: Sutler, cache_id: str, cache: pb.Cache | None = None, **fields: Any) -> pb.Cache:
    return await client.cache.CreateCache(pb.CreateCacheRequest(cache_id=cache_id, cache=cache or pb.Cache(), **fields))


async def update(client: Sutler, cache: pb.Cache, paths: Sequence[str] = (), **fields: Any) -> pb.Cache:
    mask = FieldMask(paths=paths) if paths else None
    return await client.cache.UpdateCache(pb.UpdateCacheRequest(cache=cache, update_mask=mask, **fields))


async def get(client: Sutler, name: str) -> pb.Cache:
    return await client.cache.GetCache(pb.GetCacheRequest(name=name))


async def delete(client: Sutler, name: str, **fields: Any) -> None:
    await client.cache.DeleteCache(pb.DeleteCacheRequest(name=name, **fields))


async def test_a_new_cache_is_there_as_it_was_asked_for(client: Sutler, place: Place) -> None:
    cache_id = fresh()
    wanted = pb.Cache(
        display_name="Prices",
        default_ttl=Duration(seconds=5),
        sliding=True,
        stale_retention=Duration(seconds=7),
        max_bytes=0,
        max_entries=9,
        max_entry_bytes=8,
        eviction=pb.Cache.EVICTION_LRU,
        compression=pb.Cache.COMPRESSION_NONE,
        compression_threshold_bytes=0,
        inline_limit_bytes=0,
    )
    made = await create(client, cache_id, wanted)
    assert made == await get(client, f"caches/{cache_id}")
    assert uuid.UUID(made.uid).version == 4
    assert made.create_time == made.update_time
    assert (made.metadata_backend, made.blob_backend) == (place.metadata, "files")
    for name in ("name", "uid", "etag", "create_time", "update_time", "metadata_backend", "blob_backend"):
        made.ClearField(name)
    assert made == wanted


async def test_ids_are_unique_ignoring_case_and_keep_it(client: Sutler) -> None:
    cache_id = fresh()
    made = await create(client, cache_id.upper())
    assert made.name == f"caches/{cache_id.upper()}"
    with refused(Code.ALREADY_EXISTS, "ALREADY_EXISTS", resource=made.name):
        await create(client, cache_id)
    with refused(Code.ALREADY_EXISTS, "ALREADY_EXISTS"):
        await create(client, cache_id, validate_only=True)


async def test_a_repeated_create_answers_the_same(client: Sutler) -> None:
    cache_id, request_id = fresh(), str(uuid4())
    first = await create(client, cache_id, request_id=request_id)
    await update(client, pb.Cache(name=first.name, display_name="changed"))
    assert await create(client, cache_id, request_id=request_id) == first
    with refused(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED"):
        await create(client, fresh(), request_id=request_id)


async def test_of_concurrent_creates_one_succeeds(client: Sutler) -> None:
    cache_id = fresh()
    answers = await asyncio.gather(*(create(client, cache_id) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(answer, pb.Cache) for answer in answers) == 1
    assert sum(isinstance(answer, AlreadyExists) for answer in answers) == 9


async def test_validate_only_creates_nothing(client: Sutler, place: Place) -> None:
    cache_id = fresh()
    would_be = await create(client, cache_id, pb.Cache(display_name="x"), validate_only=True)
    assert (would_be.name, would_be.display_name) == (f"caches/{cache_id}", "x")
    assert would_be.metadata_backend == place.metadata
    assert not would_be.uid
    assert not would_be.HasField("create_time")
    with refused(Code.NOT_FOUND, "NOT_FOUND", resource=f"caches/{cache_id}"):
        await get(client, f"caches/{cache_id}")


async def test_signing_needs_a_key(client: Sutler) -> None:
    signing = pb.Cache(signing=True)
    with refused(Code.FAILED_PRECONDITION, "SIGNING_KEY_MISSING", setting="SUTLER_CACHE_SIGNING_KEYS"):
        await create(client, fresh(), signing)
    signing.name = (await create(client, fresh())).name
    with refused(Code.FAILED_PRECONDITION, "SIGNING_KEY_MISSING"):
        await update(client, signing)


async def test_unknown_backends_are_refused(client: Sutler, place: Place) -> None:
    with refused(Code.INVALID_ARGUMENT, "BACKEND_UNKNOWN", field="cache.blob_backend", backend="s4", known="files"):
        await create(client, fresh(), pb.Cache(blob_backend="s4"))
    known = ", ".join(("local", *place.backends))
    with refused(Code.INVALID_ARGUMENT, "BACKEND_UNKNOWN", field="cache.metadata_backend", known=known):
        await create(client, fresh(), pb.Cache(metadata_backend="files"))


async def test_an_update_changes_what_it_names(client: Sutler, place: Place) -> None:
    made = await create(client, fresh(), pb.Cache(display_name="a", max_entries=5))
    populated = await update(client, pb.Cache(name=made.name, max_entries=6))
    assert (populated.display_name, populated.max_entries) == ("a", 6)
    assert populated.etag != made.etag
    assert populated.update_time.ToMicroseconds() > made.update_time.ToMicroseconds()
    assert (populated.uid, populated.create_time) == (made.uid, made.create_time)
    named = await update(client, pb.Cache(name=made.name, display_name="b", max_entries=7), ["display_name"])
    assert (named.display_name, named.max_entries) == ("b", 6)
    cleared = await update(client, pb.Cache(name=made.name), ["max_entries"])
    assert cleared.max_entries == 0
    replaced = await update(client, pb.Cache(name=made.name, max_entry_bytes=3), ["*"])
    assert (replaced.display_name, replaced.max_entry_bytes, replaced.metadata_backend) == ("", 3, place.metadata)


async def test_updates_that_are_refused(client: Sutler) -> None:
    made = await create(client, fresh(), pb.Cache(default_ttl=Duration(seconds=5)))
    with refused(Code.ABORTED, "ETAG_MISMATCH", resource=made.name):
        await update(client, pb.Cache(name=made.name, etag='"old"', max_entries=1))
    with refused(Code.INVALID_ARGUMENT, "UPDATE_MASK_INVALID", path="colour"):
        await update(client, pb.Cache(name=made.name), ["colour"])
    with refused(Code.INVALID_ARGUMENT, "FIELD_IMMUTABLE"):
        await update(client, pb.Cache(name=made.name, blob_backend="s3"))
    with refused(Code.NOT_FOUND, "NOT_FOUND", resource="caches/none"):
        await update(client, pb.Cache(name="caches/none", max_entries=1))
    with pytest.raises(Invalid) as caught:
        await update(client, pb.Cache(name=made.name, storage_mode=True))
    assert [violation.field for violation in caught.value.violations] == ["cache.default_ttl"]
    assert await get(client, made.name) == made


async def test_an_update_can_be_tried_and_repeated(client: Sutler) -> None:
    made = await create(client, fresh())
    would_be = await update(client, pb.Cache(name=made.name, max_entries=3), validate_only=True)
    assert would_be.max_entries == 3
    assert await get(client, made.name) == made
    request_id = str(uuid4())
    wanted = pb.Cache(name=made.name, max_entries=3, etag=made.etag)
    first = await update(client, wanted, request_id=request_id)
    assert await update(client, wanted, request_id=request_id) == first


async def test_apply_creates_what_is_missing(client: Sutler) -> None:
    name = f"caches/{fresh()}"
    made = await update(client, pb.Cache(name=name, max_entries=3), allow_missing=True)
    assert (made.name, made.max_entries) == (name, 3)
    again = await update(client, pb.Cache(name=name, max_entries=4), allow_missing=True)
    assert (again.uid, again.max_entries) == (made.uid, 4)


async def test_an_update_to_what_is_there_is_no_change(client: Sutler) -> None:
    wanted = pb.Cache(name=f"caches/{fresh()}", max_entries=3)
    made = await update(client, wanted, allow_missing=True)
    assert await update(client, wanted, allow_missing=True) == made
    assert await update(client, pb.Cache(name=made.name)) == made
    assert await get(client, made.name) == made
    made.max_entries = 4
    assert (await update(client, made)).etag != made.etag


async def test_new_rules_hold_for_the_very_next_call(client: Sutler) -> None:
    made = await create(client, fresh())
    shelf = Shelf(client, made.name)
    await shelf.put("a", b"x" * 20)
    await update(client, pb.Cache(name=made.name, max_entry_bytes=10, default_ttl=Duration(seconds=77)))
    with refused(Code.INVALID_ARGUMENT, "TOO_LARGE"):
        await shelf.put("a", b"x" * 20)
    assert (await shelf.put("a", b"x")).ttl.seconds == 77


async def test_a_cache_with_entries_goes_only_by_force(client: Sutler) -> None:
    made = await create(client, fresh())
    shelf = Shelf(client, made.name)
    await shelf.put("a", b"x")
    await shelf.put("b", b"x" * 100_000)
    with refused(Code.FAILED_PRECONDITION, "HAS_CHILDREN", resource=made.name, children="2"):
        await delete(client, made.name)
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await delete(client, made.name, force=True, etag='"old"')
    await delete(client, made.name, force=True, validate_only=True)
    await delete(client, made.name, force=True, etag=made.etag)
    with refused(Code.NOT_FOUND, "NOT_FOUND"):
        await get(client, made.name)
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await shelf.get("a")
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND"):
        await shelf.put("a", b"x")


async def test_a_new_cache_of_an_old_name_is_empty(client: Sutler) -> None:
    cache_id = fresh()
    shelf = Shelf(client, f"caches/{cache_id}")
    first = await create(client, cache_id)
    await shelf.put("a", b"old")
    await delete(client, shelf.name, force=True)
    second = await create(client, cache_id)
    assert second.uid != first.uid
    assert await shelf.reason("a") == "ENTRY_NOT_FOUND"
    assert await shelf.keys() == []


async def test_deleting_what_is_missing(client: Sutler) -> None:
    with refused(Code.NOT_FOUND, "NOT_FOUND", resource="caches/none"):
        await delete(client, "caches/none")
    await delete(client, "caches/none", allow_missing=True)
    made, request_id = await create(client, fresh()), str(uuid4())
    await delete(client, made.name, request_id=request_id)
    await delete(client, made.name, request_id=request_id)


async def test_a_cache_whose_entries_have_expired_is_empty(client: Sutler) -> None:
    made = await create(client, fresh(), pb.Cache(stale_retention=Duration(seconds=60)))
    shelf = Shelf(client, made.name)
    await shelf.put("a", b"x", ttl=Duration(nanos=50_000_000))

    async def expired() -> bool:
        return await shelf.reason("a") == "ENTRY_EXPIRED"

    await eventually(expired)
    await delete(client, made.name)


async def test_lists_come_in_pages_and_are_filtered_and_ordered(client: Sutler, place: Place) -> None:
    mark = uuid4().hex
    for number in range(5):
        await create(client, f"{'BdAeC'[number]}{mark[:8]}", pb.Cache(display_name=mark, max_entries=number))

    async def pages(size: int, **fields: Any) -> list[list[int]]:
        request = pb.ListCachesRequest(page_size=size, **fields)
        found = []
        while True:
            page = await client.cache.ListCaches(request)
            found.append([cache.max_entries for cache in page.caches])
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    mine = f'display_name = "{mark}"'
    assert await pages(2, filter=mine) == [[2, 0], [4, 1], [3]]
    assert await pages(50, filter=mine, order_by="max_entries desc") == [[4, 3, 2, 1, 0]]
    assert await pages(2, filter=f"{mine} AND max_entries > 1", order_by="max_entries") == [[2, 3], [4]]
    assert await pages(50, filter=f'{mine} AND eviction = "EVICTION_LRU"') == [[]]
    mine_here = f"{mine} AND NOT sliding = true AND metadata_backend = {place.metadata}"
    assert await pages(50, filter=mine_here) == [[2, 0, 4, 1, 3]]


async def test_lists_that_are_refused(client: Sutler) -> None:
    with refused(Code.INVALID_ARGUMENT, "FILTER_INVALID"):
        await client.cache.ListCaches(pb.ListCachesRequest(filter="colour = red"))
    with refused(Code.INVALID_ARGUMENT, "ORDER_BY_INVALID", field="colour"):
        await client.cache.ListCaches(pb.ListCachesRequest(order_by="colour"))
    with refused(Code.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"):
        await client.cache.ListCaches(pb.ListCachesRequest(page_token="AAAA"))
    with pytest.raises(Invalid):
        await client.cache.ListCaches(pb.ListCachesRequest(page_size=-1))
