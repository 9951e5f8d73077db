"""Every pair of backends: those that may serve a cache do all that a cache does, the others are refused."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code
from sutler.server import running

from services.cache.adapters.s3 import S3Options
from services.cache.app import app
from tests.conformance.cache.s3_server import client as s3_client
from tests.conformance.cache.s3_server import new_bucket, s3_server
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.damage import verify
from tests.integration.cache.places import METADATA, configured, made

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("cache-pairs")]

MIB = 1 << 20
BLOBS = ("filesystem", "memory", "s3")
REFUSED = {
    ("sqlite", "memory"): "only one is durable",
    ("json", "memory"): "only one is durable",
    ("postgresql", "memory"): "only one is shared",
    ("redis", "memory"): "only one is shared",
}
"""Why not: they would lose values."""

SERVED = [(metadata, blobs) for metadata in METADATA for blobs in BLOBS if (metadata, blobs) not in REFUSED]
LOOKED_INTO = [pair for pair in SERVED if pair[1] != "memory"]
"""Those whose blobs a test can reach past the service."""


@dataclass(frozen=True)
class Store:
    """A place of blobs, past the service.

    Attributes:
        names: Returns the names of all objects.
        read: Returns what an object holds.
        remove: Removes an object.
    """

    names: Callable[[], list[str]]
    read: Callable[[str], bytes]
    remove: Callable[[str], object]

    def holding(self, value: bytes) -> list[str]:
        """Returns the names of the objects that hold a value as it is."""
        return [name for name in self.names() if self.read(name).startswith(value)]


def folder_store(folder: Path) -> Store:
    return Store(
        lambda: [str(path) for path in folder.glob("*/??/*")],
        lambda name: Path(name).read_bytes(),
        lambda name: Path(name).unlink(),
    )


def bucket_store(options: S3Options) -> Store:
    s3, bucket = s3_client(options.endpoint_url), options.bucket
    return Store(
        lambda: [item["Key"] for item in s3.list_objects_v2(Bucket=bucket).get("Contents", ())],
        lambda name: s3.get_object(Bucket=bucket, Key=name)["Body"].read(),
        lambda name: s3.delete_object(Bucket=bucket, Key=name),
    )


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3Options]:
    with s3_server() as url:
        yield new_bucket(url)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pairs")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(folder: Path, bucket: S3Options) -> AsyncIterator[Sutler]:
    """A server with every type of backend, each under the name of its type."""
    s3 = bucket.model_dump(mode="json", exclude_none=True, exclude={"session_token"})
    assert bucket.secret_key is not None
    s3 = {"type": "s3", **s3, "secret_key": bucket.secret_key.get_secret_value()}
    blobs = {"filesystem": {"type": "filesystem", "folder": f"{folder}/other"}, "memory": {"type": "memory"}, "s3": s3}
    with configured(folder, blob_backends=blobs) as settings:
        async with running(app, settings, "cache") as server, connect(server.address) as connection:
            yield connection


@pytest.fixture
def stores(folder: Path, bucket: S3Options) -> dict[str, Store]:
    return {"filesystem": folder_store(folder / "other"), "s3": bucket_store(bucket)}


@pytest_asyncio.fixture(loop_scope="session", params=SERVED, ids="-".join)
async def shelf(request: pytest.FixtureRequest, client: Sutler) -> Shelf:
    metadata, blobs = request.param
    return await made(client, metadata_backend=metadata, blob_backend=blobs)


@pytest.fixture
def store(request: pytest.FixtureRequest, shelf: Shelf, stores: dict[str, Store]) -> Store:
    """Where the blobs of the shelf are."""
    return stores[request.node.callspec.params["shelf"][1]]


def value(size: int) -> bytes:
    """Bytes that no other test has."""
    return (uuid.uuid4().bytes * (size // 16 + 1))[:size]


async def test_every_pair_is_served_or_refused() -> None:
    assert len(SERVED) + len(REFUSED) == len(METADATA) * len(BLOBS) == 15


@pytest.mark.parametrize("pair", REFUSED, ids="-".join)
async def test_pairs_that_would_lose_values_are_refused(client: Sutler, pair: tuple[str, str]) -> None:
    cause, named = REFUSED[pair], dict(zip(("metadata_backend", "blob_backend"), pair, strict=True))
    with refused(Code.INVALID_ARGUMENT, "BACKENDS_INCOMPATIBLE", cause=cause, **named):
        await made(client, **named)


async def test_backends_tell_their_pairs(client: Sutler) -> None:
    answer = await client.cache.ListBackends(
        pb.ListBackendsRequest(filter="kind = KIND_METADATA AND backend_id != local")
    )
    told = {backend.type: set(backend.compatible_types) or set(BLOBS) for backend in answer.backends}
    assert told == {metadata: {blobs for each, blobs in SERVED if each == metadata} for metadata in METADATA}


async def test_entries_and_blobs_are_kept_on_every_pair(shelf: Shelf) -> None:
    await shelf.put("small", b"s" * 10, tags=["t"])
    await shelf.put("large", b"l" * 200_000)
    stream = value(2 * MIB + 5)
    await shelf.write("stream", stream[:MIB], stream[MIB : 2 * MIB], stream[2 * MIB :])
    assert (await shelf.get("small")).inline_value == b"s" * 10
    assert (await shelf.get("large")).inline_value == b"l" * 200_000
    assert b"".join([message.data for message in await shelf.read("stream")]) == stream
    part = await shelf.read("stream", offset=MIB - 3, limit=MIB + 7)
    assert b"".join([message.data for message in part]) == stream[MIB - 3 : 2 * MIB + 4]
    assert await shelf.keys() == ["large", "small", "stream"]
    assert await shelf.invalidate(tags=["t"]) == 1
    assert await shelf.keys() == ["large", "stream"]


async def test_a_whole_cache_verifies(shelf: Shelf) -> None:
    await shelf.put("small", b"s" * 10)
    for key in ("large", "same"):
        await shelf.put(key, b"l" * 200_000)
    await shelf.write("stream", b"a" * MIB, b"b" * MIB)
    answer = await verify(shelf)
    assert answer == pb.VerifyCacheResponse(entry_count=4, blob_count=2, read_bytes=10 + 200_000 + 2 * MIB)


@pytest.mark.parametrize("shelf", LOOKED_INTO, ids="-".join, indirect=True)
async def test_equal_blobs_are_stored_once_until_the_last_goes(shelf: Shelf, store: Store, client: Sutler) -> None:
    rules = await client.cache.GetCache(pb.GetCacheRequest(name=shelf.name))
    other = await made(client, metadata_backend=rules.metadata_backend, blob_backend=rules.blob_backend)
    data = value(100_000)
    await shelf.put("a", data)
    await shelf.write("b", data[:50_000], data[50_000:])
    await other.put("c", data)

    async def copies(count: int) -> bool:
        return len(store.holding(data)) == count

    await eventually(lambda: copies(1))
    assert (await client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=shelf.name))).blob_count == 1
    await shelf.invalidate(all=True)
    assert (await other.get("c")).inline_value == data
    await other.delete("c")
    await eventually(lambda: copies(0))


@pytest.mark.parametrize("shelf", LOOKED_INTO, ids="-".join, indirect=True)
async def test_a_lost_blob_is_a_miss_and_is_found(shelf: Shelf, store: Store) -> None:
    data = value(100_000)
    await shelf.put("k", data)
    [name] = store.holding(data)
    store.remove(name)
    assert await shelf.reason("k") == "ENTRY_CORRUPT"
    [problem] = (await verify(shelf, repair=True)).problems
    assert (problem.key, problem.kind, problem.outcome) == (
        "k",
        pb.CacheProblem.KIND_BLOB_MISSING,
        pb.CacheProblem.OUTCOME_REMOVED,
    )
    assert await shelf.reason("k") == "ENTRY_NOT_FOUND"
    await shelf.put("k", data)
    assert (await shelf.get("k")).inline_value == data


async def test_what_has_expired_is_removed_everywhere(shelf: Shelf) -> None:
    await shelf.put("small", b"1", ttl=Duration(nanos=50_000_000))
    await shelf.put("large", value(100_000), ttl=Duration(nanos=50_000_000))

    async def gone() -> bool:
        return {await shelf.reason("small"), await shelf.reason("large")} == {"ENTRY_NOT_FOUND"}

    await eventually(gone)
    assert (await verify(shelf)).blob_count == 0


async def test_a_full_cache_makes_room(client: Sutler, shelf: Shelf) -> None:
    limit = pb.UpdateCacheRequest(cache=pb.Cache(name=shelf.name, max_bytes=250_000, max_entries=10))
    await client.cache.UpdateCache(limit)
    for number in range(3):
        await shelf.put(f"large{number}", value(100_000))

    async def evicted() -> bool:
        return await shelf.keys() == ["large1", "large2"]

    await eventually(evicted)
    assert (await verify(shelf)).problem_count == 0


async def test_a_repeat_is_answered_from_the_backend(shelf: Shelf) -> None:
    request_id = str(uuid.uuid4())
    first = await shelf.increment("n", delta=5, request_id=request_id)
    assert await shelf.increment("n", delta=5, request_id=request_id) == first
    assert (await shelf.get("n")).counter_value == 5
    request_id = str(uuid.uuid4())
    await shelf.put("k", b"1")
    assert await shelf.invalidate(prefix="k", request_id=request_id) == 1
    await shelf.put("k", b"2")
    assert await shelf.invalidate(prefix="k", request_id=request_id) == 1
    assert (await shelf.get("k")).inline_value == b"2"


async def test_new_rules_hold_at_once(shelf: Shelf) -> None:
    await shelf.put("k", b"12345")
    mask = FieldMask(paths=["max_entry_bytes"])
    cache = pb.Cache(name=shelf.name, max_entry_bytes=4)
    await shelf.client.cache.UpdateCache(pb.UpdateCacheRequest(cache=cache, update_mask=mask))
    with refused(Code.INVALID_ARGUMENT, "TOO_LARGE"):
        await shelf.put("k", b"12345")
    await shelf.put("k", b"1234")


async def test_a_deleted_cache_leaves_nothing(shelf: Shelf) -> None:
    await shelf.put("k", b"1")
    with refused(Code.FAILED_PRECONDITION, "HAS_CHILDREN", children="1"):
        await shelf.client.cache.DeleteCache(pb.DeleteCacheRequest(name=shelf.name))
    old = await shelf.client.cache.GetCache(pb.GetCacheRequest(name=shelf.name))
    await shelf.client.cache.DeleteCache(pb.DeleteCacheRequest(name=shelf.name, force=True))
    assert await shelf.reason("k") == "CACHE_NOT_FOUND"
    again = pb.Cache(metadata_backend=old.metadata_backend, blob_backend=old.blob_backend)
    cache_id = shelf.name.removeprefix("caches/")
    await shelf.client.cache.CreateCache(pb.CreateCacheRequest(cache_id=cache_id, cache=again))
    assert await shelf.reason("k") == "ENTRY_NOT_FOUND"
    await shelf.put("k", b"2")
    assert await shelf.keys() == ["k"]
