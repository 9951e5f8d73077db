"""Where a cache signs, only what was put through the service with its keys is given out."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct, Value
from pydantic import SecretStr
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code
from sutler.server import running

from services.cache.app import app
from services.cache.entries import checksum
from tests.integration.cache.calls import Shelf, refused
from tests.integration.cache.places import Place, settings_of
from tests.integration.cache.stores import Store, store_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

OLD, NEW = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
MIB = 1 << 20


def settings(place: Place, *keys: str) -> Any:
    return settings_of(place, signing_keys=SecretStr(",".join(keys)))


def key() -> str:
    """A key that no other test has, so that it can be found in the tables."""
    return uuid.uuid4().hex


def value(size: int) -> bytes:
    return (uuid.uuid4().bytes * (size // 16 + 1))[:size]


async def make(client: Sutler, *, signing: bool = True, **rules: Any) -> Shelf:
    request = pb.CreateCacheRequest(cache_id=f"c{key()[:12]}", cache=pb.Cache(signing=signing, **rules))
    return Shelf(client, (await client.cache.CreateCache(request)).name)


async def turn(shelf: Shelf, *, on: bool) -> None:
    await shelf.client.cache.UpdateCache(
        pb.UpdateCacheRequest(cache=pb.Cache(name=shelf.name, signing=on), update_mask=FieldMask(paths=["signing"]))
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def signing(place: Place) -> AsyncIterator[Sutler]:
    """A server with a key."""
    async with running(app, settings(place, OLD), "cache") as server, connect(server.address) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def store(place: Place) -> AsyncIterator[Store]:
    async with store_of(place) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def signed(signing: Sutler) -> Shelf:
    """A cache that signs."""
    return await make(signing)


async def refused_everywhere(shelf: Shelf, name: str, cause: str) -> None:
    """Checks that no way leads to an entry."""
    expected = {"cache": shelf.name, "key": name, "cause": cause}
    for view in (pb.ENTRY_VIEW_FULL, pb.ENTRY_VIEW_VALUE, pb.ENTRY_VIEW_BASIC):
        with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", **expected):
            await shelf.get(name, view=view)
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", **expected):
        await shelf.read(name)
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", **expected):
        [_ async for _ in shelf.client.cache.DownloadBlob(pb.DownloadBlobRequest(cache=shelf.name, key=name))]
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", **expected):
        await shelf.touch(name)
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", **expected):
        await shelf.put(name, keep_value=True, tags=["new"])
    batch = await shelf.client.cache.BatchGetEntries(pb.BatchGetEntriesRequest(cache=shelf.name, keys=[name]))
    [detail] = [d for d in batch.results[0].status.details if d.type_url.endswith("ErrorInfo")]
    assert b"SIGNATURE_INVALID" in detail.value
    assert name not in await shelf.keys()


async def test_every_kind_of_put_is_signed_and_given_out(signed: Shelf) -> None:
    small, large, metadata = value(100), value(200_000), Struct()
    metadata.update({"b": 1, "a": [None, 2.5]})
    await signed.put("bytes", small, metadata=metadata, tags=["t", "s"], data_type="text", content_type="text/plain")
    await signed.put("json", json_value=Value(string_value="x"))
    await signed.put("empty", b"")
    await signed.put("large", large)
    await signed.write("stream", large, large[:5])
    await signed.put("reference", blob=pb.BlobReference(sha256=hashlib.sha256(large).hexdigest()))
    await signed.put("bytes", keep_value=True, metadata=metadata, tags=["kept"])
    await signed.put("large", keep_value=True, tags=["kept"])
    counted = [await signed.increment("counter", delta=number) for number in (3, 4)]
    assert [entry.signature_verified for entry in counted] == [True, True]
    touched = await signed.touch("bytes", ttl=Duration(seconds=77))
    assert touched.signature_verified
    names = await signed.keys()
    assert names == ["bytes", "counter", "empty", "json", "large", "reference", "stream"]
    for name in names:
        assert (await signed.get(name)).signature_verified
        assert (await signed.get(name, view=pb.ENTRY_VIEW_VALUE)).signature_verified
        assert (await signed.get(name, view=pb.ENTRY_VIEW_BASIC)).signature_verified
    assert (await signed.get("bytes")).inline_value == small
    assert (await signed.get("reference")).inline_value == large
    assert (await signed.get("stream")).inline_value == large + large[:5]
    assert (await signed.get("counter")).counter_value == 7


async def test_a_batch_is_signed_row_by_row(signed: Shelf) -> None:
    values = [value(size) for size in (0, 10, 60_000, 70_000)]
    rows = [pb.PutEntryRow(key=f"k{len(data)}", entry=pb.Entry(inline_value=data)) for data in values]
    put = await signed.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=signed.name, rows=rows))
    got = await signed.client.cache.BatchGetEntries(
        pb.BatchGetEntriesRequest(cache=signed.name, keys=[row.key for row in rows])
    )
    assert all(result.entry.signature_verified for result in (*put.results, *got.results))
    assert [result.entry.inline_value for result in got.results] == values


async def test_a_cache_that_does_not_sign_verifies_nothing(signing: Sutler) -> None:
    plain = await make(signing, signing=False)
    assert not (await plain.put("k", b"x")).signature_verified
    assert not (await plain.get("k")).signature_verified


@pytest.mark.parametrize(
    ("column", "altered"),
    [
        ("metadata", '{"rows":2}'),
        ("tags", '["t","admin"]'),
        ("data_type", "pickle"),
        ("content_type", "text/html"),
        ("kind", 2),
        ("signature", "1.x.y"),
    ],
)
async def test_altered_metadata_are_refused(signed: Shelf, store: Store, column: str, altered: str | int) -> None:
    name, metadata = key(), Struct()
    metadata.update({"rows": 1})
    await signed.put(name, b"value", metadata=metadata, tags=["t"], data_type="text", content_type="text/plain")
    await store.alter(f"UPDATE entries SET {column} = ? WHERE key = ?", altered, name)
    await refused_everywhere(signed, name, "altered")
    await signed.put(name, b"again")
    assert (await signed.get(name)).inline_value == b"again"


async def test_an_altered_value_is_refused_even_with_the_right_checksum(signed: Shelf, store: Store) -> None:
    name = key()
    first = await signed.put(name, b"value")
    await store.alter("UPDATE entries SET value = ?, checksum = ? WHERE key = ?", b"other", checksum(b"other"), name)
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", cause="altered"):
        await signed.get(name)
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", cause="altered"):
        await signed.read(name)
    assert (await signed.get(name, known_etag=first.etag)).WhichOneof("value") is None
    await signed.put(name, keep_value=True, tags=["new"])
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", cause="altered"):
        await signed.get(name)


async def test_a_counter_does_not_count_on_from_what_was_altered(signed: Shelf, store: Store) -> None:
    name = key()
    await signed.increment(name, delta=5)
    await store.alter("UPDATE entries SET value = ?, checksum = ? WHERE key = ?", b"9", checksum(b"9"), name)
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", cause="altered"):
        await signed.increment(name)
    await signed.delete(name)
    assert (await signed.increment(name)).counter_value == 1


@pytest.mark.parametrize("size", [10, 100_000])
async def test_an_entry_counts_under_its_own_key_only(signed: Shelf, signing: Sutler, store: Store, size: int) -> None:
    one, two, elsewhere, other = key(), key(), key(), await make(signing)
    await signed.put(one, value(size))
    await signed.put(two, value(size))
    await other.put(elsewhere, value(size))
    copied = "kind, size_bytes, stored_bytes, checksum, blob_id, metadata, tags, packing, signature, value"
    for target in (two, elsewhere):
        await store.alter(
            f"UPDATE entries SET ({copied}) = (SELECT {copied} FROM entries WHERE key = ?) WHERE key = ?", one, target
        )
    await refused_everywhere(signed, two, "altered")
    await refused_everywhere(other, elsewhere, "altered")
    assert (await signed.get(one)).signature_verified


async def swap(store: Store, victim: bytes, other: bytes) -> None:
    """Puts the bytes of another blob, which is whole and has all its checksums, in the place of one."""
    digest = hashlib.sha256(other).hexdigest()
    locator, checksum_, chunks, packing, stored = await store.one(
        "SELECT locator, checksum, chunks, packing, stored_bytes FROM blobs WHERE sha256 = ?", digest
    )
    await store.alter("UPDATE blobs SET locator = ? WHERE sha256 = ?", f"aside/{digest}", digest)
    await store.alter(
        "UPDATE blobs SET locator = ?, checksum = ?, chunks = ?, packing = ?, stored_bytes = ? WHERE sha256 = ?",
        *(locator, checksum_, chunks, packing, stored, hashlib.sha256(victim).hexdigest()),
    )


async def test_a_blob_that_was_swapped_is_refused(signed: Shelf, store: Store) -> None:
    victim, other = value(300_000), value(300_000)
    await signed.put("k", victim)
    await signed.put("l", other)
    await swap(store, victim, other)
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", cause="altered"):
        await signed.get("k")
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", cause="altered"):
        await signed.read("k")
    await signed.put("again", victim)
    assert (await signed.get("k")).inline_value == victim


@pytest.mark.parametrize(("offset", "limit"), [(0, 0), (MIB - 1, 2), (2 * MIB, 0), (3 * MIB, 5)])
async def test_a_stream_of_a_swapped_blob_never_completes(signed: Shelf, store: Store, offset: int, limit: int) -> None:
    victim, other = value(3 * MIB + 100), value(3 * MIB + 100)
    parts = [data[start : start + MIB] for data in (victim, other) for start in range(0, len(data), MIB)]
    await signed.write("k", *parts[:4])
    await signed.write("l", *parts[4:])
    whole = await signed.read("k", offset=offset, limit=limit)
    assert b"".join(part.data for part in whole) == victim[offset : offset + limit if limit else None]
    assert [part.complete for part in whole] == [False] * (len(whole) - 1) + [True]
    await swap(store, victim, other)
    came: list[pb.ReadBlobResponse] = []

    async def read() -> None:
        request = pb.ReadBlobRequest(cache=signed.name, key="k", offset=offset, limit=limit)
        async for part in signed.client.cache.ReadBlob(request):
            came.append(part)

    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", cause="altered"):
        await read()
    assert not any(part.complete for part in came)
    assert len(came) < len(whole)


async def test_an_entry_that_refers_to_another_blob_is_refused(signed: Shelf, store: Store) -> None:
    name, victim, other = key(), value(100_000), value(100_000)
    await signed.put(name, victim)
    await signed.put("other", other)
    digest = hashlib.sha256(other).hexdigest()
    await store.alter(
        "UPDATE entries SET blob_id = (SELECT id FROM blobs WHERE sha256 = ?) WHERE key = ?", digest, name
    )
    await refused_everywhere(signed, name, "altered")


async def test_a_signature_that_was_taken_away_is_missed(signed: Shelf, store: Store) -> None:
    name = key()
    await signed.put(name, b"value")
    await store.alter("UPDATE entries SET signature = '' WHERE key = ?", name)
    await refused_everywhere(signed, name, "unsigned")


async def test_signing_is_turned_on_and_off(signing: Sutler, store: Store) -> None:
    shelf, before, after = await make(signing, signing=False), key(), key()
    await shelf.put(before, b"unsigned")
    await shelf.increment("counter")
    await turn(shelf, on=True)
    await refused_everywhere(shelf, before, "unsigned")
    with refused(Code.NOT_FOUND, "SIGNATURE_INVALID", cause="unsigned"):
        await shelf.increment("counter")
    await shelf.put(after, b"signed")
    await store.alter("UPDATE entries SET data_type = 'pickle' WHERE key = ?", after)
    await refused_everywhere(shelf, after, "altered")
    await turn(shelf, on=False)
    for name in (before, after):
        found = await shelf.get(name)
        assert found.inline_value
        assert not found.signature_verified
    assert sorted(await shelf.keys()) == sorted([before, after, "counter"])


async def test_a_list_goes_on_behind_what_it_leaves_out(signed: Shelf, store: Store) -> None:
    names = sorted(key() for _ in range(6))
    for name in names:
        await signed.put(name, b"x")
    for name in (names[0], names[2], names[3], names[5]):
        await store.alter("UPDATE entries SET tags = '[\"t\"]' WHERE key = ?", name)
    pages, token = [], ""
    while True:
        page = await signed.client.cache.ListEntries(
            pb.ListEntriesRequest(cache=signed.name, page_size=2, page_token=token)
        )
        pages.append([entry.key for entry in page.entries])
        assert all(entry.signature_verified for entry in page.entries)
        token = page.next_page_token
        if not token:
            break
    assert pages == [[names[1]], [], [names[4]]]


async def test_an_access_and_a_new_life_leave_the_signature_right(signing: Sutler) -> None:
    shelf = await make(signing, sliding=True, default_ttl=Duration(seconds=2))
    await shelf.put("k", b"x")
    await shelf.get("k")
    await shelf.touch("k", ttl=Duration(seconds=60))
    await shelf.invalidate(keys=["none"])
    assert (await shelf.get("k")).signature_verified


async def test_keys_are_changed_one_after_the_other(place: Place) -> None:
    async def server(*keys: str) -> Any:
        return running(app, settings(place, *keys), "cache")

    async with await server(OLD) as one, connect(one.address) as client:
        shelf = await make(client)
        await shelf.put("old", b"x")
    async with await server(NEW, OLD) as one, connect(one.address) as client:
        both = Shelf(client, shelf.name)
        assert (await both.get("old")).signature_verified
        await both.put("new", b"x")
    async with await server(NEW) as one, connect(one.address) as client:
        last = Shelf(client, shelf.name)
        await refused_everywhere(last, "old", "unknown key")
        assert (await last.get("new")).signature_verified
        await last.put("old", b"again")
        assert (await last.get("old")).signature_verified
    async with await server() as one, connect(one.address) as client:
        without = Shelf(client, shelf.name)
        await refused_everywhere(without, "new", "unknown key")
        for change in (without.put("k", b"x"), without.put("k", value(100_000)), without.increment("n")):
            with refused(Code.FAILED_PRECONDITION, "SIGNING_KEY_MISSING", setting="SUTLER_CACHE_SIGNING_KEYS"):
                await change
