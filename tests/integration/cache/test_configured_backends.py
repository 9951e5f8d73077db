from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code
from sutler.server import running

from services.cache.app import app
from tests.integration.cache.calls import Shelf, refused
from tests.integration.cache.moves import hears_of_a_move
from tests.integration.cache.places import METADATA, Place, configured, made, settings_of

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sutler]:
    with configured(tmp_path_factory.mktemp("backends"), blob_backends={"ram": {"type": "memory"}}) as settings:
        async with running(app, settings, "cache") as server, connect(server.address) as connection:
            yield connection


@pytest.mark.parametrize("backend", METADATA)
async def test_who_waits_hears_at_once_that_the_cache_moved(
    client: Sutler, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = await made(client, metadata_backend=backend)
    await hears_of_a_move([shelf], shelf, False, monkeypatch)


@pytest.mark.parametrize(
    ("rules", "reason", "metadata"),
    [
        ({"metadata_backend": "s4"}, "BACKEND_UNKNOWN", {"backend": "s4"}),
        ({"blob_backend": "json"}, "BACKEND_UNKNOWN", {"known": "files, ram"}),
        ({"blob_backend": "ram"}, "BACKENDS_INCOMPATIBLE", {"metadata_backend": "local", "blob_backend": "ram"}),
        (
            {"metadata_backend": "json", "max_entries": 5000},
            "BACKEND_LIMIT_EXCEEDED",
            {"backend": "json", "limit": "1000", "max_entries": "5000"},
        ),
    ],
)
async def test_what_cannot_be_served_is_refused(
    client: Sutler, rules: dict[str, Any], reason: str, metadata: dict[str, str]
) -> None:
    with refused(Code.INVALID_ARGUMENT, reason, **metadata):
        await made(client, **rules)


async def test_a_cache_takes_no_more_than_its_backend(client: Sutler) -> None:
    shelf = await made(client, metadata_backend="json")
    assert (await client.cache.GetCache(pb.GetCacheRequest(name=shelf.name))).max_entries == 1000


async def test_configured_backends_are_told(client: Sutler) -> None:
    answer = await client.cache.ListBackends(pb.ListBackendsRequest(filter='backend_id != ""'))
    found = {backend.backend_id: backend for backend in answer.backends}
    assert set(found) == {"local", "files", "ram", *METADATA}
    assert all(backend.state == pb.Backend.STATE_READY for backend in found.values())
    assert {name for name, backend in found.items() if backend.default_backend} == {"local", "files"}
    assert not any("PASSWORD" in str(backend.options_schema).upper() for backend in (found["sqlite"], found["json"]))


async def test_entries_outlive_a_restart(tmp_path: Path) -> None:
    with configured(tmp_path) as settings:
        names = {}
        async with running(app, settings, "cache") as server, connect(server.address) as client:
            for backend in ("local", *METADATA):
                shelf = await made(client, metadata_backend=backend)
                await shelf.put("k", b"1")
                names[backend] = shelf.name
        async with running(app, settings, "cache") as server, connect(server.address) as client:
            reasons = {backend: await Shelf(client, name).reason("k") for backend, name in names.items()}
    assert reasons.pop("sqlite_memory") == "ENTRY_NOT_FOUND"
    assert set(reasons.values()) == {""}


async def test_entries_of_deleted_caches_are_of_no_data_type_before_they_are_removed(tmp_path: Path) -> None:
    with configured(tmp_path, sweep_seconds=3600) as settings:
        async with running(app, settings, "cache") as server, connect(server.address) as client:
            for number, backend in enumerate(("local", *METADATA), 1):
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
