from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code
from sutler.server import running
from sutler.testing import postgresql_schema

from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.moves import hears_of_a_move
from tests.integration.cache.places import Place, settings_of

pytestmark = pytest.mark.asyncio(loop_scope="session")

PAIRS = [
    ("local", "files"),
    ("disk", "files"),
    ("memory", "files"),
    ("memory", "ram"),
    ("notes", "files"),
    ("remote", "files"),
]


def configured(folder: Path, url: str) -> Settings:
    return settings_of(
        Place(f"sqlite:///{folder}/cache.db", folder / "blobs"),
        metadata_backends={
            "disk": {"type": "sqlite", "file": f"{folder}/a disk.db"},
            "memory": {"type": "sqlite_memory"},
            "notes": {"type": "json", "file": f"{folder}/notes.json"},
            "remote": {"type": "postgresql", "url": url},
        },
        blob_backends={"ram": {"type": "memory"}},
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def settings(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    with postgresql_schema() as url:
        yield configured(tmp_path_factory.mktemp("backends"), url)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(settings: Settings) -> AsyncIterator[Sutler]:
    async with running(app, settings, "cache") as server, connect(server.address) as connection:
        yield connection


@pytest_asyncio.fixture(loop_scope="session", params=PAIRS, ids="-".join)
async def shelf(request: pytest.FixtureRequest, client: Sutler) -> Shelf:
    metadata, blobs = request.param
    return await made(client, metadata_backend=metadata, blob_backend=blobs)


async def made(client: Sutler, **rules: Any) -> Shelf:
    cache = pb.Cache(**rules)
    name = f"c{uuid4().hex[:12]}"
    return Shelf(client, (await client.cache.CreateCache(pb.CreateCacheRequest(cache_id=name, cache=cache))).name)


async def test_entries_and_blobs_are_kept_on_every_pair(shelf: Shelf) -> None:
    await shelf.put("small", b"s" * 10, tags=["t"])
    await shelf.put("large", b"l" * 200_000)
    await shelf.write("stream", b"a" * 1_000_000, b"b" * 1_000_000)
    assert (await shelf.get("small")).inline_value == b"s" * 10
    assert (await shelf.get("large")).inline_value == b"l" * 200_000
    assert sum(len(message.data) for message in await shelf.read("stream")) == 2_000_000
    assert await shelf.keys() == ["large", "small", "stream"]
    assert await shelf.invalidate(tags=["t"]) == 1
    assert await shelf.keys() == ["large", "stream"]


async def test_a_repeat_is_answered_from_the_backend(shelf: Shelf) -> None:
    request_id = str(uuid4())
    first = await shelf.increment("n", delta=5, request_id=request_id)
    assert await shelf.increment("n", delta=5, request_id=request_id) == first
    assert (await shelf.get("n")).counter_value == 5
    request_id = str(uuid4())
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


async def test_who_waits_hears_at_once_that_the_cache_moved(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    await hears_of_a_move([shelf], shelf, False, monkeypatch)


async def test_what_has_expired_is_removed_everywhere(shelf: Shelf) -> None:
    await shelf.put("k", b"1")
    await shelf.touch("k", ttl={"nanos": 50_000_000})

    async def gone() -> bool:
        return await shelf.reason("k") == "ENTRY_NOT_FOUND"

    await eventually(gone)


@pytest.mark.parametrize(
    ("rules", "reason", "metadata"),
    [
        ({"metadata_backend": "s4"}, "BACKEND_UNKNOWN", {"backend": "s4"}),
        ({"blob_backend": "notes"}, "BACKEND_UNKNOWN", {"known": "files, ram"}),
        ({"blob_backend": "ram"}, "BACKENDS_INCOMPATIBLE", {"cause": "only one is durable"}),
        (
            {"metadata_backend": "remote", "blob_backend": "ram"},
            "BACKENDS_INCOMPATIBLE",
            {"metadata_backend": "remote", "blob_backend": "ram", "cause": "only one is shared"},
        ),
        (
            {"metadata_backend": "notes", "max_entries": 5000},
            "BACKEND_LIMIT_EXCEEDED",
            {"backend": "notes", "limit": "1000", "max_entries": "5000"},
        ),
    ],
)
async def test_what_cannot_be_served_is_refused(
    client: Sutler, rules: dict[str, Any], reason: str, metadata: dict[str, str]
) -> None:
    with refused(Code.INVALID_ARGUMENT, reason, **metadata):
        await made(client, **rules)


async def test_a_cache_takes_no_more_than_its_backend(client: Sutler) -> None:
    shelf = await made(client, metadata_backend="notes")
    assert (await client.cache.GetCache(pb.GetCacheRequest(name=shelf.name))).max_entries == 1000


async def test_configured_backends_are_told(client: Sutler) -> None:
    answer = await client.cache.ListBackends(pb.ListBackendsRequest(filter='backend_id != ""'))
    found = {backend.backend_id: backend for backend in answer.backends}
    assert set(found) == {"local", "disk", "memory", "notes", "remote", "files", "ram"}
    assert all(backend.state == pb.Backend.STATE_READY for backend in found.values())
    assert {name for name, backend in found.items() if backend.default_backend} == {"local", "files"}
    assert not any("PASSWORD" in str(backend.options_schema).upper() for backend in (found["disk"], found["notes"]))


async def test_entries_outlive_a_restart(tmp_path: Path) -> None:
    with postgresql_schema() as url:
        settings = configured(tmp_path, url)
        names = {}
        async with running(app, settings, "cache") as server, connect(server.address) as client:
            for backend in ("local", "disk", "notes", "remote", "memory"):
                shelf = await made(client, metadata_backend=backend)
                await shelf.put("k", b"1")
                names[backend] = shelf.name
        async with running(app, settings, "cache") as server, connect(server.address) as client:
            reasons = {backend: await Shelf(client, name).reason("k") for backend, name in names.items()}
    assert reasons.pop("memory") == "ENTRY_NOT_FOUND"
    assert set(reasons.values()) == {""}


async def test_entries_of_deleted_caches_are_of_no_data_type_before_they_are_removed(tmp_path: Path) -> None:
    with postgresql_schema() as url:
        settings = configured(tmp_path, url).model_copy(update={"sweep_seconds": 3600})
        async with running(app, settings, "cache") as server, connect(server.address) as client:
            for number, backend in enumerate(("local", "disk", "notes", "remote", "memory"), 1):
                kept, dropped = [await made(client, metadata_backend=backend) for _ in range(2)]
                for shelf in (kept, dropped):
                    await shelf.put("k", b"1", data_type="mine")
                await client.cache.DeleteCache(pb.DeleteCacheRequest(name=dropped.name, force=True))
                wanted = pb.ListDataTypesRequest(filter='data_type = "mine"')
                [found] = (await client.cache.ListDataTypes(wanted)).data_types
                assert (found.entry_count, backend) == (number, backend)


async def test_a_backend_that_was_taken_away_is_told(tmp_path: Path) -> None:
    place = Place(f"sqlite:///{tmp_path}/cache.db", tmp_path / "blobs")
    more = {"metadata_backends": {"notes": {"type": "json", "file": f"{tmp_path}/notes.json"}}}
    async with running(app, settings_of(place, **more), "cache") as server, connect(server.address) as client:
        name = (await made(client, metadata_backend="notes")).name
    async with running(app, settings_of(place), "cache") as server, connect(server.address) as client:
        with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE", backend="notes"):
            await Shelf(client, name).get(
                "k",
            )
        await (await made(client)).put("k", b"1")
