from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import NULL_VALUE, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.errors import AlreadyExists, Code, Invalid, SutlerError

from tests.integration.cache.calls import Shelf, eventually, refused

pytestmark = pytest.mark.asyncio(loop_scope="session")

DAY = 86_400
SOON = Duration(nanos=150_000_000)
AWKWARD = [
    "../../etc/passwd",
    "a/b",
    "a%2Fb",
    "\0",
    "a\0b",
    "\x01",
    "\x01\x02",
    "ключ",
    "🙂" * 256,
    "x" * 1024,
    " ",
    "%",
    "*",
]


async def test_what_is_put_is_what_is_got(shelf: Shelf) -> None:
    data = Struct()
    data.update({"rows": 3, "from": "erp", "deep": {"list": [1, None, "x"]}})
    put = await shelf.put(
        "k", b"value", content_type="text/plain", data_type="text", metadata=data, tags=["a", "b", "a"]
    )
    assert not put.HasField("value")
    got = await shelf.get("k")
    assert (got.inline_value, got.content_type, got.data_type) == (b"value", "text/plain", "text")
    assert (got.metadata, list(got.tags)) == (data, ["a", "b"])
    assert (got.cache, got.key, got.etag, got.size_bytes, got.stored_size_bytes) == (shelf.name, "k", put.etag, 5, 5)
    assert len(got.checksum) == 32


@pytest.mark.parametrize("key", AWKWARD)
async def test_any_key_is_a_key_of_its_own(shelf: Shelf, key: str) -> None:
    await shelf.put(key, key.encode())
    assert (await shelf.get(key)).inline_value == key.encode()
    assert await shelf.keys() == [key]
    await shelf.delete(key)
    assert await shelf.reason(key) == "ENTRY_NOT_FOUND"


async def test_awkward_keys_do_not_collide(shelf: Shelf) -> None:
    for key in AWKWARD:
        await shelf.put(key, key.encode())
    for key in AWKWARD:
        assert (await shelf.get(key)).inline_value == key.encode()


@pytest.mark.parametrize(
    "value",
    [
        {"inline_value": b""},
        {"json_value": Value(null_value=NULL_VALUE)},
        {"json_value": Value(string_value="")},
        {"json_value": Value(number_value=0)},
        {"json_value": Value(bool_value=False)},
        {"json_value": Value(struct_value=Struct())},
        {"counter_value": 0},
        {"counter_value": -(2**63)},
    ],
    ids=lambda value: str(value).strip(),
)
async def test_null_and_empty_are_values(shelf: Shelf, value: dict[str, Any]) -> None:
    await shelf.put("k", **value)
    got = await shelf.get("k")
    [name] = value
    assert got.WhichOneof("value") == name
    assert getattr(got, name) == value[name]


async def test_the_default_life_holds_on_a_plain_get(client: Sutler, make_cache: Any) -> None:
    short = Shelf(client, await make_cache(default_ttl=SOON))
    await short.put("k", b"x")
    assert await short.reason("k") == ""
    await eventually(lambda: _is(short.reason("k"), {"ENTRY_EXPIRED", "ENTRY_NOT_FOUND"}))
    assert await short.keys() == []
    batch = await client.cache.BatchGetEntries(pb.BatchGetEntriesRequest(cache=short.name, keys=["k"]))
    assert batch.results[0].HasField("status")
    with pytest.raises(SutlerError):
        await short.read("k")
    with pytest.raises(SutlerError):
        await short.put("k", keep_value=True)


async def _is(answer: Any, wanted: set[str]) -> bool:
    return await answer in wanted


async def test_a_cache_without_rules_keeps_for_a_day(shelf: Shelf) -> None:
    await shelf.put("k", b"x")
    got = await shelf.get("k")
    assert got.ttl.seconds == DAY
    assert got.expire_time.ToSeconds() - got.update_time.ToSeconds() == DAY


async def test_an_own_life_replaces_the_default_one(shelf: Shelf) -> None:
    await shelf.put("for ever", b"x", ttl=Duration())
    await shelf.put("long", b"x", ttl=Duration(seconds=2 * DAY))
    forever, long = await shelf.get("for ever"), await shelf.get("long")
    assert not forever.HasField("expire_time")
    assert forever.HasField("ttl")
    assert long.expire_time.ToSeconds() - long.update_time.ToSeconds() == 2 * DAY


async def test_an_expired_entry_says_so_until_it_is_swept(client: Sutler, make_cache: Any) -> None:
    kept = Shelf(client, await make_cache(stale_retention=Duration(seconds=60)))
    put = await kept.put("k", b"x", ttl=SOON)
    await eventually(lambda: _is(kept.reason("k"), {"ENTRY_EXPIRED"}))
    with refused(Code.NOT_FOUND, "ENTRY_EXPIRED", cache=kept.name, key="k"):
        await kept.get("k")
    with refused(Code.NOT_FOUND, "ENTRY_EXPIRED"):
        await kept.touch("k")
    with refused(Code.NOT_FOUND, "ENTRY_EXPIRED"):
        await kept.delete("k")
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await kept.put("k", b"y", condition=pb.PutCondition(etag=put.etag))
    again = await kept.put("k", b"y", condition=pb.PutCondition(absent=True))
    assert again.create_time.ToMicroseconds() > put.create_time.ToMicroseconds()


async def test_an_absolute_end_must_be_in_the_future(shelf: Shelf) -> None:
    with refused(Code.INVALID_ARGUMENT, "EXPIRY_NOT_ALLOWED", cause="past", field="entry.expire_time"):
        await shelf.put("k", b"x", expire_time=Timestamp(seconds=1))
    await shelf.put("k", b"x", expire_time=Timestamp(seconds=4_000_000_000))
    got = await shelf.get("k")
    assert got.expire_time.seconds == 4_000_000_000
    assert not got.HasField("ttl")


async def test_a_durable_store_refuses_a_life(client: Sutler, make_cache: Any) -> None:
    store = Shelf(client, await make_cache(storage_mode=True))
    with refused(Code.INVALID_ARGUMENT, "EXPIRY_NOT_ALLOWED", cause="storage_mode", field="entry.ttl"):
        await store.put("k", b"x", ttl=Duration(seconds=5))
    await store.put("k", b"x", ttl=Duration())
    assert not (await store.get("k")).HasField("expire_time")
    with refused(Code.INVALID_ARGUMENT, "EXPIRY_NOT_ALLOWED", field="ttl"):
        await store.touch("k", ttl=Duration(seconds=5))


async def test_absent_entries_and_caches_are_told_apart(shelf: Shelf) -> None:
    with refused(Code.NOT_FOUND, "ENTRY_NOT_FOUND", cache=shelf.name, key="nothing"):
        await shelf.get("nothing")
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND", cache="caches/none"):
        await Shelf(shelf.client, "caches/none").get("k")
    with refused(Code.NOT_FOUND, "CACHE_NOT_FOUND", cache="caches/none"):
        await Shelf(shelf.client, "caches/none").put("k", b"x")


async def test_views(shelf: Shelf) -> None:
    await shelf.put("k", b"value", content_type="text/plain", tags=["a"])
    basic = await shelf.get("k", view=pb.ENTRY_VIEW_BASIC)
    assert not basic.HasField("value")
    assert basic.size_bytes == 5
    value = await shelf.get("k", view=pb.ENTRY_VIEW_VALUE)
    assert (value.inline_value, list(value.tags), value.content_type) == (b"value", ["a"], "text/plain")
    assert (value.key, value.checksum, value.size_bytes) == ("", "", 0)


async def test_a_known_value_is_left_out(shelf: Shelf) -> None:
    put = await shelf.put("k", b"value")
    assert not (await shelf.get("k", known_etag=put.etag)).HasField("value")
    again = await shelf.put("k", b"value")
    assert again.etag != put.etag
    assert (await shelf.get("k", known_etag=put.etag)).inline_value == b"value"


async def test_put_if_absent(shelf: Shelf) -> None:
    absent = pb.PutCondition(absent=True)
    await shelf.put("k", b"first", condition=absent)
    with refused(Code.ALREADY_EXISTS, "ALREADY_EXISTS", cache=shelf.name, key="k"):
        await shelf.put("k", b"second", condition=absent)
    assert (await shelf.get("k")).inline_value == b"first"


async def test_put_if_unchanged(shelf: Shelf) -> None:
    first = await shelf.put("k", b"1")
    second = await shelf.put("k", b"2", condition=pb.PutCondition(etag=first.etag))
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await shelf.put("k", b"3", condition=pb.PutCondition(etag=first.etag))
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await shelf.put("none", b"3", condition=pb.PutCondition(etag=first.etag))
    got = await shelf.get("k")
    assert (got.inline_value, got.etag) == (b"2", second.etag)
    assert got.create_time == first.create_time


async def test_a_put_with_a_lease_is_refused(shelf: Shelf) -> None:
    with refused(Code.ABORTED, "LEASE_LOST"):
        await shelf.put("k", b"x", condition=pb.PutCondition(lease_token="t"))


@pytest.mark.parametrize("value", [b"x", b"x" * 100_000], ids=["inline", "blob"])
async def test_a_repeat_of_a_conditional_put_gets_the_first_answer(shelf: Shelf, value: bytes) -> None:
    request_id, absent = str(uuid.uuid4()), pb.PutCondition(absent=True)
    first = await shelf.put("k", value, condition=absent, request_id=request_id)
    again = await shelf.put("k", value, condition=absent, request_id=request_id)
    assert again == first
    with refused(Code.ALREADY_EXISTS, "ALREADY_EXISTS"):
        await shelf.put("k", value + b"!", condition=absent, request_id=request_id)
    second = await shelf.put(
        "k", b"2", condition=pb.PutCondition(etag=first.etag), request_id=(rid := str(uuid.uuid4()))
    )
    assert await shelf.put("k", b"2", condition=pb.PutCondition(etag=first.etag), request_id=rid) == second


async def test_a_put_that_is_repeated_later_puts_the_same_again(shelf: Shelf) -> None:
    request_id = str(uuid.uuid4())
    first = await shelf.put("k", b"1", request_id=request_id)
    await shelf.put("k", b"2")
    again = await shelf.put("k", b"1", request_id=request_id)
    assert again.etag == first.etag
    assert (await shelf.get("k")).inline_value == b"1"


async def test_of_concurrent_puts_if_absent_one_succeeds(shelf: Shelf) -> None:
    async def attempt(number: int) -> bool:
        with suppress(AlreadyExists):
            await shelf.put("k", str(number).encode(), condition=pb.PutCondition(absent=True))
            return True
        return False

    won = await asyncio.gather(*map(attempt, range(50)))
    assert won.count(True) == 1
    assert (await shelf.get("k")).inline_value == str(won.index(True)).encode()


@pytest.mark.parametrize("value", [b"value", b"v" * 200_000], ids=["inline", "blob"])
async def test_all_but_the_value_can_be_replaced(shelf: Shelf, value: bytes) -> None:
    await shelf.put("k", value, tags=["old"], content_type="text/plain")
    changed = await shelf.put("k", keep_value=True, tags=["new"])
    got = await shelf.get("k")
    assert (got.inline_value, list(got.tags), got.content_type, got.etag) == (value, ["new"], "", changed.etag)
    assert await shelf.invalidate(tags=["old"]) == 0
    with refused(Code.NOT_FOUND, "ENTRY_NOT_FOUND"):
        await shelf.put("none", keep_value=True)


async def test_delete(shelf: Shelf) -> None:
    put = await shelf.put("k", b"x")
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await shelf.delete("k", etag='"other"')
    await shelf.delete("k", etag=put.etag, validate_only=True)
    assert await shelf.reason("k") == ""
    await shelf.delete("k", etag=put.etag)
    assert await shelf.reason("k") == "ENTRY_NOT_FOUND"
    with refused(Code.NOT_FOUND, "ENTRY_NOT_FOUND"):
        await shelf.delete("k")
    with refused(Code.NOT_FOUND, "ENTRY_NOT_FOUND"):
        await shelf.delete("k", validate_only=True)
    await shelf.delete("k", allow_missing=True)


async def test_touch_gives_a_new_life_and_keeps_the_rest(shelf: Shelf) -> None:
    put = await shelf.put("k", b"x", ttl=Duration(seconds=100), tags=["a"])
    touched = await shelf.touch("k", ttl=Duration(seconds=5000), etag=put.etag)
    assert touched.etag == put.etag
    assert touched.expire_time.ToSeconds() - put.expire_time.ToSeconds() >= 4899
    got = await shelf.get("k")
    assert (got.inline_value, list(got.tags), got.expire_time) == (b"x", ["a"], touched.expire_time)
    again = await shelf.touch("k")
    assert again.ttl.seconds == 5000
    forever = await shelf.touch("k", ttl=Duration())
    assert not forever.HasField("expire_time")
    with refused(Code.ABORTED, "ETAG_MISMATCH"):
        await shelf.touch("k", etag='"other"')
    with refused(Code.NOT_FOUND, "ENTRY_NOT_FOUND"):
        await shelf.touch("none")


async def test_touch_without_a_life_keeps_an_absolute_end(shelf: Shelf) -> None:
    end = Timestamp(seconds=4_000_000_000)
    await shelf.put("k", b"x", expire_time=end)
    assert (await shelf.touch("k")).expire_time == end


async def test_limits_of_one_value(client: Sutler, make_cache: Any) -> None:
    small = Shelf(client, await make_cache(max_entry_bytes=10))
    await small.put("k", b"x" * 10)
    with refused(Code.INVALID_ARGUMENT, "TOO_LARGE", limit_bytes="10", size_bytes="11"):
        await small.put("k", b"x" * 11)
    with refused(Code.INVALID_ARGUMENT, "TOO_LARGE"):
        await small.put("k", b"x" * 100_000)
    bounded = Shelf(client, await make_cache(max_bytes=1000))
    with refused(Code.INVALID_ARGUMENT, "TOO_LARGE", limit_bytes="1000"):
        await bounded.put("k", b"x" * 1001)


async def test_what_no_store_takes_is_refused(shelf: Shelf) -> None:
    with pytest.raises(Invalid) as caught:
        await shelf.put("k", b"x", tags=["a\0b"])
    assert caught.value.violations[0].field == "entry.tags"
    infinite = Value(number_value=float("inf"))
    with pytest.raises(Invalid) as caught:
        await shelf.put("k", json_value=infinite)
    assert caught.value.violations[0].field == "entry.json_value"
    for value, keep in (({"inline_value": b"x"}, True), ({}, False)):
        with pytest.raises(Invalid) as caught:
            await shelf.put("k", keep_value=keep, **value)
        assert caught.value.violations[0].field == "entry"
    with pytest.raises(Invalid):
        await shelf.put("", b"x")


async def test_json_values_come_back_as_they_were(shelf: Shelf) -> None:
    value = Value()
    value.struct_value.update({"a": [1, 2.5, "x", None, True, {"b": {}}], "big": 1e300, "neg": -7})
    await shelf.put("k", json_value=value)
    assert (await shelf.get("k")).json_value == value


async def test_hits_are_counted_without_a_write_for_each(shelf: Shelf) -> None:
    await shelf.put("k", b"x")
    for _ in range(5):
        await shelf.get("k")
    await shelf.get("k", view=pb.ENTRY_VIEW_BASIC)

    async def counted() -> bool:
        seen = await shelf.get("k", view=pb.ENTRY_VIEW_BASIC)
        return seen.hit_count == 5 and seen.HasField("access_time")

    await eventually(counted)
    await shelf.put("k", b"y")
    assert (await shelf.get("k", view=pb.ENTRY_VIEW_BASIC)).hit_count == 0
