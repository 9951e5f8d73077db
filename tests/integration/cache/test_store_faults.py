"""Files and disks of configured metadata backends: damaged, full, and well again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.errors import Code, Unavailable
from sutler.server import running

from services.cache.app import app
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.places import Place, settings_of
from tests.integration.cache.redis_server import RedisServer
from tests.integration.faults.disks import full, small_disk


@asynccontextmanager
async def serving(folder: Path, **backend: Any) -> AsyncIterator[tuple[Shelf, Shelf]]:
    """A cache whose entries are in a backend, and one whose entries are in the service's own database."""
    place = Place(f"sqlite:///{folder}/cache.db", folder / "blobs", "kv", {"kv": backend})
    async with running(app, settings_of(place), "cache") as server, connect(server.address, attempts=1) as client:
        for cache_id, name in (("remote", "kv"), ("local", "local")):
            wanted = pb.Cache(metadata_backend=name)
            await client.cache.UpdateCache(pb.UpdateCacheRequest(cache=_named(wanted, cache_id), allow_missing=True))
        yield Shelf(client, "caches/remote"), Shelf(client, "caches/local")


def _named(cache: pb.Cache, cache_id: str) -> pb.Cache:
    cache.name = f"caches/{cache_id}"
    return cache


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.mark.parametrize(
    "spoilt", [b"", b"{", b"[]", b'{"format": 9, "records": {}}', b'{"format": 1, "records": {"k": 1}}']
)
async def test_a_damaged_json_file_is_told_and_left_alone(tmp_path: Path, spoilt: bytes) -> None:
    file = tmp_path / "cache.json"
    async with serving(tmp_path, type="json", file=str(file)) as (shelf, local):
        await shelf.put("k", b"1")
        await local.put("k", b"1")
        whole = file.read_bytes()
        file.write_bytes(spoilt)
        for call in (shelf.get("k"), shelf.get("none"), shelf.put("k", b"2"), shelf.delete("k"), shelf.keys()):
            with refused(Code.DATA_LOSS, "STORAGE_UNAVAILABLE"):
                await call
        assert file.read_bytes() == spoilt
        assert (await local.get("k")).inline_value == b"1"
        file.write_bytes(whole)
        assert (await shelf.get("k")).inline_value == b"1"
        await shelf.put("k", b"2")


async def test_a_full_disk_leaves_the_json_file_as_it_was(tmp_path: Path, disk: Path) -> None:
    async with serving(tmp_path, type="json", file=str(disk / "cache.json")) as (shelf, local):
        await shelf.put("k", b"old")
        with full(disk):
            for _ in range(2):
                with refused(Code.RESOURCE_EXHAUSTED, "STORAGE_FULL") as caught:
                    await shelf.put("k", b"n" * 10_000)
                assert caught.value.retry_after is not None
            assert (await shelf.get("k")).inline_value == b"old"
            await local.put("k", b"1")
            assert sorted(path.name for path in disk.iterdir()) == ["ballast", "cache.json", "cache.json.lock"]
        await shelf.put("k", b"new")
        assert (await shelf.get("k")).inline_value == b"new"


async def test_a_redis_whose_disk_is_full_is_an_outage_that_ends(tmp_path: Path, disk: Path) -> None:
    with RedisServer(disk, appendonly="yes") as redis:
        async with serving(tmp_path, type="redis", url=redis.url, timeout_seconds=1) as (shelf, _):
            await shelf.put("k", b"old")
            answered: dict[str, bytes] = {"k": b"old"}
            with full(disk):
                caught = await _filled(shelf, answered)
                assert caught.reason == "STORAGE_UNAVAILABLE"
                assert caught.metadata["cause"] == "it cannot write its files"
                assert caught.retry_after is not None
                for key, value in answered.items():
                    assert (await shelf.get(key)).inline_value == value

            async def back() -> bool:
                try:
                    await shelf.put("k", b"new")
                except Unavailable:
                    return False
                return True

            await eventually(back)
            answered["k"] = b"new"
            redis.kill()
            redis.start()

            async def readable() -> bool:
                return await shelf.reason("k") == ""

            await eventually(readable)
            for key, value in answered.items():
                assert (await shelf.get(key)).inline_value == value


async def _filled(shelf: Shelf, answered: dict[str, bytes]) -> Unavailable:
    """Puts entries until one is refused, and notes those that were answered."""
    for number in range(100):
        key, value = str(number), bytes([number]) * 10_000
        try:
            await shelf.put(key, value)
        except Unavailable as error:
            return error
        answered[key] = value
    raise AssertionError("the disk was not full")


async def test_a_damaged_sqlite_backend_is_told_and_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "more.db"
    async with serving(tmp_path, type="sqlite", file=str(file)) as (shelf, _):
        await shelf.put("k", b"1")
    with file.open("r+b") as opened:
        opened.write(b"\xff" * 100)
    found = file.read_bytes()
    async with serving(tmp_path, type="sqlite", file=str(file)) as (shelf, _):
        with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE", backend="kv", cause="damaged"):
            await shelf.get("k")
    assert file.read_bytes() == found
