"""Places of blobs belong to one installation, which alone removes what no entry of it refers to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code
from sutler.server import running
from sutler.store import Database, open_database
from sutler.testing import postgresql_schema

from services.cache.adapters.database import blobs as database_blobs
from services.cache.adapters.database.elsewhere import claim, installation
from services.cache.adapters.database.marks import blob_mark
from services.cache.adapters.objects import blobs
from services.cache.adapters.ordered import blobs as ordered_blobs
from services.cache.app import app
from tests.conformance.cache.s3_server import client as s3_client
from tests.conformance.cache.s3_server import new_bucket, s3_server
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.files import copy
from tests.integration.cache.places import Place, settings_of

pytestmark = pytest.mark.xdist_group("cache-owners")

SERVING = health_pb2.HealthCheckResponse.SERVING
VALUE = b"x" * 100
Far = Mapping[str, str]


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def bucket(s3_url: str) -> Far:
    options = new_bucket(s3_url).model_dump(mode="json", exclude_none=True, exclude={"addressing"})
    return {"type": "s3", **options, "secret_key": "secret"}


@pytest.fixture(params=["filesystem", "s3"])
def far(request: pytest.FixtureRequest, tmp_path: Path) -> Far:
    """A place of blobs that two installations could be given."""
    if request.param == "filesystem":
        return {"type": "filesystem", "folder": f"{tmp_path}/shared"}
    found: Far = request.getfixturevalue("bucket")
    return found


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs are old enough to be orphans in a second; what a put has written is good for half of that, as ever."""
    monkeypatch.setattr(blobs, "ORPHAN_SECONDS", 1.0)
    for adapter in (database_blobs, ordered_blobs):
        monkeypatch.setattr(adapter, "MAX_UNUSED_SECONDS", 0.5)


@asynccontextmanager
async def serving(folder: Path, far: Far, **more: Any) -> AsyncIterator[Sutler]:
    """An installation with its main database in a folder; its client does not repeat calls."""
    folder.mkdir(exist_ok=True)
    place = Place(more.pop("data", f"sqlite:///{folder}/cache.db"), more.pop("blobs", folder / "blobs"))
    given = {"blob_backends": {"far": far}, "orphan_sweep_seconds": 0.1, **more}
    async with (
        running(app, settings_of(place, **given), "cache") as server,
        connect(server.address, attempts=1) as client,
    ):
        yield client


async def shelf(client: Sutler, blob_backend: str = "far", cache_id: str = "", **rules: Any) -> Shelf:
    cache = pb.Cache(blob_backend=blob_backend, inline_limit_bytes=10, **rules)
    request = pb.CreateCacheRequest(cache_id=cache_id or f"c{uuid4().hex[:9]}", cache=cache)
    return Shelf(client, (await client.cache.CreateCache(request)).name)


async def state(client: Sutler, name: str = "far") -> tuple[int, str]:
    answer = await client.cache.ListBackends(pb.ListBackendsRequest(filter=f'backend_id = "{name}"'))
    return answer.backends[0].state, answer.backends[0].state_reason


async def ready(client: Sutler, name: str = "far") -> bool:
    return (await state(client, name))[0] == pb.Backend.STATE_READY


def opened(url: str) -> AbstractAsyncContextManager[Database]:
    return open_database(url, name="cache", migrations={})


def foreign(name: str) -> Any:
    cause = "another installation uses it"
    return refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE", backend=name, cause=cause)


async def swept(folder: Path) -> None:
    """Returns when a search for orphans that began after this call is over."""
    for _ in range(2):
        orphan = folder / "blobs" / ("0" * 32) / "00" / "orphan"
        orphan.parent.mkdir(parents=True, exist_ok=True)
        orphan.write_bytes(b"nobody refers to it")

        async def gone(orphan: Path = orphan) -> bool:
            return not orphan.exists()

        await eventually(gone)


def names(far: Far) -> list[str]:
    """Returns the names of all objects in a place."""
    if far["type"] == "filesystem":
        root = Path(far["folder"])
        return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    found = s3_client(far["endpoint_url"]).list_objects_v2(Bucket=far["bucket"], Prefix=far["prefix"])
    return [item["Key"].removeprefix(far["prefix"]) for item in found.get("Contents", ())]


def marked(far: Far) -> bool:
    return "owner" in names(far)


def unmark(far: Far) -> None:
    assert marked(far)
    if far["type"] == "filesystem":
        (Path(far["folder"]) / "owner").unlink()
    else:
        s3_client(far["endpoint_url"]).delete_object(Bucket=far["bucket"], Key=far["prefix"] + "owner")


async def test_two_installations_do_not_clear_a_place_of_each_others_blobs(far: Far, tmp_path: Path) -> None:
    async with serving(tmp_path / "one", far) as mine:
        first = await shelf(mine)
        await first.put("k", VALUE)
        async with serving(tmp_path / "two", far) as theirs:
            local = await shelf(theirs, "files")
            await local.put("k", VALUE)
            await swept(tmp_path / "two")
            assert (await first.get("k")).inline_value == VALUE
            other = await shelf(theirs)
            with foreign("far"):
                await other.put("k", VALUE)
            told, why = await state(theirs)
            assert told == pb.Backend.STATE_UNAVAILABLE and "another installation" in why
            assert (await local.get("k")).inline_value == VALUE


@pytest.fixture
def folder(tmp_path: Path) -> Far:
    return {"type": "filesystem", "folder": f"{tmp_path}/shared"}


async def test_one_folder_for_two_main_databases(tmp_path: Path, folder: Far) -> None:
    async with serving(tmp_path / "one", folder) as mine:
        first = await shelf(mine, "files")
        await first.put("k", VALUE)
        async with serving(tmp_path / "two", folder, blobs=tmp_path / "one" / "blobs") as theirs:
            other = await shelf(theirs, "files")
            with foreign("files"):
                await other.put("k", VALUE)
            await other.put("small", b"1")
            assert (await other.get("small")).inline_value == b"1"
            health = health_pb2_grpc.HealthStub(theirs.channel)  # type: ignore[no-untyped-call]
            assert (await health.Check(health_pb2.HealthCheckRequest())).status == SERVING
        assert (await first.get("k")).inline_value == VALUE


async def test_a_place_whose_mark_goes_is_the_next_ones(far: Far, tmp_path: Path) -> None:
    async with serving(tmp_path / "one", far) as mine:
        await (await shelf(mine)).put("k", VALUE)
    async with serving(tmp_path / "two", far) as theirs:
        other = await shelf(theirs)
        with foreign("far"):
            await other.put("k", VALUE)
        unmark(far)
        await eventually(partial(ready, theirs))
        await other.put("k", VALUE)
        assert (await other.get("k")).inline_value == VALUE
    async with serving(tmp_path / "one", far) as mine:
        with foreign("far"):
            await (await shelf(mine)).put("k", VALUE)


async def test_a_place_in_use_that_has_no_mark_yet_is_claimed(far: Far, tmp_path: Path) -> None:
    async with serving(tmp_path / "one", far) as client:
        await (await shelf(client, cache_id="kept")).put("k", VALUE)
    unmark(far)
    async with serving(tmp_path / "one", far) as client, serving(tmp_path / "one", far) as replica:
        for each in (client, replica):
            assert (await Shelf(each, "caches/kept").get("k")).inline_value == VALUE
        assert marked(far)


async def test_a_copy_of_a_main_database_is_another_installation(tmp_path: Path, folder: Far) -> None:
    async with serving(tmp_path / "one", folder) as mine:
        first = await shelf(mine, "files", cache_id="kept")
        await first.put("k", VALUE)
        (tmp_path / "trial").mkdir()
        copy(tmp_path / "one" / "cache.db", tmp_path / "trial" / "cache.db")
        await first.put("k2", VALUE * 2)
        async with serving(tmp_path / "trial", folder, blobs=tmp_path / "one" / "blobs") as trial:
            copied = Shelf(trial, "caches/kept")
            with foreign("files"):
                await copied.get("k")
            with foreign("far"):
                await (await shelf(trial)).put("k", VALUE)
            await copied.delete("k")
        assert (await first.get("k")).inline_value == VALUE
        assert (await first.get("k2")).inline_value == VALUE * 2


async def test_a_database_and_its_folder_may_move_together(tmp_path: Path) -> None:
    folder = {"type": "memory"}
    async with serving(tmp_path / "one", folder) as client:
        await (await shelf(client, "files", cache_id="kept")).put("k", VALUE)
    (tmp_path / "one").rename(tmp_path / "two")
    async with serving(tmp_path / "two", folder) as client:
        assert (await Shelf(client, "caches/kept").get("k")).inline_value == VALUE


async def test_a_place_of_another_holds_up_the_garbage_of_none(tmp_path: Path, folder: Far) -> None:
    async with serving(tmp_path / "one", folder) as client:
        for name in ("files", "far"):
            await (await shelf(client, name, cache_id=name)).put("k", VALUE)
    (tmp_path / "shared" / "owner").write_bytes(b"another one")
    [file] = (tmp_path / "one" / "blobs").glob("*/??/*")

    async def gone() -> bool:
        return not file.exists()

    async with serving(tmp_path / "one", folder) as client:
        for name in ("far", "files"):
            await Shelf(client, f"caches/{name}").delete("k")
        await eventually(gone)
    assert len(list((tmp_path / "shared").glob("*/??/*"))) == 1


async def test_blobs_of_entries_that_were_in_memory_are_swept(far: Far, tmp_path: Path) -> None:
    """The entries are gone after a restart, their blobs are in a place that outlives them."""
    memory = {"metadata_backends": {"memory": {"type": "sqlite_memory"}}}
    async with serving(tmp_path / "one", far, **memory) as client:
        await (await shelf(client, metadata_backend="memory")).put("k", VALUE)
        await (await shelf(client, cache_id="kept")).put("k", VALUE)
        assert len(names(far)) == 3

    async def swept() -> bool:
        return len(names(far)) == 2

    async with serving(tmp_path / "one", far, **memory) as client:
        await eventually(swept)
        assert (await Shelf(client, "caches/kept").get("k")).inline_value == VALUE
        assert marked(far)


async def test_a_main_database_in_memory_opens_its_folder_again(tmp_path: Path) -> None:
    given = {"data": "sqlite:///:memory:", "blobs": tmp_path / "blobs"}
    for _ in range(2):
        async with serving(tmp_path / "one", {"type": "memory"}, **given) as client:
            found = await shelf(client, "files")
            await found.put("k", VALUE)
            assert (await found.get("k")).inline_value == VALUE


async def test_a_copy_of_a_schema_has_another_mark() -> None:
    with postgresql_schema() as one, postgresql_schema() as other:
        async with opened(one) as first, opened(one) as replica, opened(other) as copied:
            await claim(copied, await installation(first))
            assert await installation(copied) == await installation(first)
            assert await blob_mark(replica) == await blob_mark(first)
            assert await blob_mark(copied) != await blob_mark(first)
