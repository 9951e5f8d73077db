"""An outage is told as one, never as a missing entry, and loses nothing."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.errors import Code, FailedPrecondition
from sutler.server import running

from services.cache.adapters.filesystem import writing
from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, refused


@pytest.fixture
async def own(sqlite_settings: Settings) -> AsyncIterator[Shelf]:
    """A cache of a server of its own, whose client does not repeat calls."""
    async with (
        running(app, sqlite_settings, "cache") as server,
        connect(server.address, attempts=1) as client,
    ):
        await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache(inline_limit_bytes=10)))
        yield Shelf(client, "caches/c")


def the_file(settings: Settings) -> Path:
    [path] = list(settings.blob_folder.glob("*/??/*"))
    return path


async def test_a_file_that_cannot_be_read_is_an_outage(own: Shelf, sqlite_settings: Settings) -> None:
    await own.put("k", b"x" * 100)
    path = the_file(sqlite_settings)
    path.rename(path.with_name("aside"))
    path.symlink_to(path)
    with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE"):
        await own.get("k")
    with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE"):
        await own.read("k")
    with refused(Code.UNAVAILABLE, "STORAGE_UNAVAILABLE"):
        await own.client.cache.BatchGetEntries(pb.BatchGetEntriesRequest(cache=own.name, keys=["k"]))
    path.unlink()
    path.with_name("aside").rename(path)
    assert (await own.get("k")).inline_value == b"x" * 100


async def test_a_full_disk_is_told_and_changes_nothing(
    own: Shelf, sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own.put("k", b"old" * 100)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(writing.os, "write", full)
        with refused(Code.RESOURCE_EXHAUSTED, "STORAGE_FULL"):
            await own.put("k", b"new" * 100)
        with refused(Code.RESOURCE_EXHAUSTED, "STORAGE_FULL"):
            await own.write("k", b"new" * 100)
        await own.put("small", b"fits")
    assert (await own.get("k")).inline_value == b"old" * 100
    assert not any((sqlite_settings.blob_folder / "incoming").iterdir())
    await own.put("k", b"new" * 100)


@pytest.mark.parametrize(("spoilt", "cause"), [(b"other", "checksum"), (b"valu", "size")])
async def test_a_spoilt_value_beside_its_metadata_is_a_miss(
    own: Shelf, sqlite_settings: Settings, spoilt: bytes, cause: str
) -> None:
    await own.put("k", b"value")
    with sqlite3.connect(sqlite_settings.data.removeprefix("sqlite:///")) as raw:
        raw.execute("UPDATE entries SET value = ?", (spoilt,))
    with refused(Code.NOT_FOUND, "ENTRY_CORRUPT", cause=cause, key="k"):
        await own.get("k")
    with refused(Code.NOT_FOUND, "ENTRY_CORRUPT", cause=cause):
        await own.read("k")
    await own.put("k", b"value")
    assert (await own.get("k")).inline_value == b"value"


async def test_a_folder_that_cannot_be_used_stops_the_start(sqlite_settings: Settings) -> None:
    sqlite_settings.blob_folder.write_text("a file")
    with pytest.raises(FailedPrecondition) as caught:
        async with running(app, sqlite_settings, "cache"):
            pass
    assert caught.value.metadata == {"path": str(sqlite_settings.blob_folder)}
