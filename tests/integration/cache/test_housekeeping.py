from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.errors import Code
from sutler.server import running

from services.cache.app import app
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.places import Place, settings_of

LONG_AGO = time.time() - 3600
MIB = 1 << 20


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Shelf]:
    """A server of its own over the data in a folder, with one cache."""
    place = Place(f"sqlite:///{folder}/cache.db", folder / "blobs")
    async with running(app, settings_of(place, **settings), "cache") as server, connect(server.address) as client:
        await client.cache.UpdateCache(
            pb.UpdateCacheRequest(cache=pb.Cache(name="caches/c", inline_limit_bytes=10), allow_missing=True)
        )
        yield Shelf(client, "caches/c")


def files(folder: Path) -> list[Path]:
    """Returns all files in the folder of blobs, but the mark of its owner."""
    return sorted(path for path in (folder / "blobs").rglob("*") if path.is_file() and path.name != "owner")


def count(folder: Path, table: str) -> int:
    with sqlite3.connect(folder / "cache.db") as raw:
        return int(raw.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])


async def test_files_that_nobody_refers_to_are_removed(tmp_path: Path) -> None:
    async with serving(tmp_path) as shelf:
        await shelf.put("k", b"x" * 100)
    [kept] = files(tmp_path)
    os.utime(kept, (LONG_AGO, LONG_AGO))
    orphan = kept.with_name("f" * 64 + ".0123456789ab")
    young = kept.with_name("e" * 64 + ".0123456789ab")
    unfinished = tmp_path / "blobs" / "incoming" / "unfinished"
    for path in (orphan, young, unfinished):
        path.write_bytes(b"y")
    for path in (orphan, unfinished):
        os.utime(path, (LONG_AGO, LONG_AGO))

    async def tidied() -> bool:
        return not orphan.exists() and not unfinished.exists()

    async with serving(tmp_path, orphan_sweep_seconds=0.1) as shelf:
        await eventually(tidied)
        assert files(tmp_path) == sorted([kept, young])
        assert (await shelf.get("k")).inline_value == b"x" * 100


async def test_a_place_of_blobs_that_cannot_be_cleared_holds_up_no_other(tmp_path: Path) -> None:
    (tmp_path / "stuck" / "l").mkdir(parents=True)  # a folder is not removed as a file is
    stuck = {"stuck": {"type": "filesystem", "folder": str(tmp_path / "stuck")}}
    async with serving(tmp_path, blob_backends=stuck) as shelf:
        await shelf.put("k", b"x" * 100)
    with closing(sqlite3.connect(tmp_path / "cache.db")) as raw, raw:
        rows = [(f"{number}", "t", "taken away", 1.0) for number in range(600)] + [("l", "t", "stuck", 2.0)]
        raw.executemany("INSERT INTO garbage (locator, tenant, backend, drop_time) VALUES (?, ?, ?, ?)", rows)
    async with serving(tmp_path, blob_backends=stuck) as shelf:
        await shelf.delete("k")

        async def cleared() -> bool:
            return not files(tmp_path) and count(tmp_path, "garbage") == 601

        await eventually(cleared)


async def test_a_file_that_is_being_written_is_not_taken_for_abandoned(tmp_path: Path) -> None:
    async with serving(tmp_path, orphan_sweep_seconds=0.05) as shelf:

        async def slowly() -> AsyncIterator[pb.WriteBlobRequest]:
            yield pb.WriteBlobRequest(header=pb.WriteBlobHeader(cache=shelf.name, key="k"))
            for number in range(12):
                yield pb.WriteBlobRequest(data=bytes([number]) * MIB)
            await eventually(begun)
            [path] = (tmp_path / "blobs" / "incoming").iterdir()
            os.utime(path, (LONG_AGO, LONG_AGO))
            abandoned = path.with_name("abandoned")
            abandoned.write_bytes(b"y")
            os.utime(abandoned, (LONG_AGO, LONG_AGO))
            await eventually(lambda: _missing(abandoned))
            yield pb.WriteBlobRequest(trailer=pb.WriteBlobTrailer(size_bytes=12 * MIB))

        async def begun() -> bool:
            return any((tmp_path / "blobs" / "incoming").iterdir())

        await shelf.client.cache.WriteBlob(slowly())
        read = b"".join(message.data for message in await shelf.read("k"))
        assert read == b"".join(bytes([number]) * MIB for number in range(12))


async def _missing(path: Path) -> bool:
    return not path.exists()


async def test_a_deleted_cache_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path) as shelf:
        rows = [
            pb.PutEntryRow(key=f"k{number}", entry=pb.Entry(inline_value=bytes([number % 7]) * 100, tags=["t"]))
            for number in range(300)
        ]
        await shelf.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))
        assert count(tmp_path, "blobs") == 7
        await shelf.client.cache.DeleteCache(pb.DeleteCacheRequest(name=shelf.name, force=True))

        async def empty() -> bool:
            tables = ("entries", "entry_tags", "blobs", "garbage")
            return not files(tmp_path) and not any(count(tmp_path, table) for table in tables)

        await eventually(empty)


async def test_the_rows_of_what_expired_and_was_replaced_go(tmp_path: Path) -> None:
    async with serving(tmp_path) as shelf:
        await shelf.put("k", b"x" * 100, ttl=Duration(nanos=50_000_000), tags=["t"])
        for number in range(5):
            await shelf.put("again", bytes([number]) * 100)

        async def swept() -> bool:
            return count(tmp_path, "entries") == 1 and len(files(tmp_path)) == 1 and not count(tmp_path, "garbage")

        await eventually(swept)
        assert count(tmp_path, "entry_tags") == 0
        assert count(tmp_path, "blobs") == 1


async def test_what_has_expired_takes_no_room_even_if_it_was_not_swept(tmp_path: Path) -> None:
    async with serving(tmp_path, sweep_seconds=3600) as shelf:
        wanted = pb.Cache(name=shelf.name, max_entries=2, eviction=pb.Cache.EVICTION_NONE)
        await shelf.client.cache.UpdateCache(pb.UpdateCacheRequest(cache=wanted))
        for key in ("a", "b"):
            await shelf.put(key, b"x", ttl=Duration(nanos=300_000_000))
        with refused(Code.RESOURCE_EXHAUSTED, "CACHE_FULL"):
            await shelf.put("c", b"x")

        async def expired() -> bool:
            return await shelf.reason("b") == "ENTRY_EXPIRED"

        await eventually(expired)
        await shelf.put("c", b"x")
        assert await shelf.keys() == ["c"]


async def test_a_limit_that_was_passed_before_a_crash_is_seen_to_afterwards(tmp_path: Path) -> None:
    async with serving(tmp_path) as shelf:
        rows = [pb.PutEntryRow(key=f"k{number}", entry=pb.Entry(inline_value=b"x")) for number in range(20)]
        await shelf.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))
    with sqlite3.connect(tmp_path / "cache.db") as raw:
        raw.execute("UPDATE caches SET rules = json_set(rules, '$.max_entries', 10), revision = revision + 1")
    async with serving(tmp_path) as shelf:

        async def evicted() -> bool:
            return len(await shelf.keys()) == 8

        await eventually(evicted)


async def test_all_is_there_after_a_restart(tmp_path: Path) -> None:
    async with serving(tmp_path) as shelf:
        put = await shelf.put("small", b"s", tags=["t"])
        await shelf.put("large", b"L" * 1000)
        await shelf.get("small")
    async with serving(tmp_path) as shelf:
        got = await shelf.get("small")
        assert (got.inline_value, got.etag, got.hit_count) == (b"s", put.etag, 1)
        assert (await shelf.get("large")).inline_value == b"L" * 1000
        assert await shelf.invalidate(tags=["t"]) == 1


async def test_what_cannot_be_read_does_not_stop_the_sweep(tmp_path: Path) -> None:
    async with serving(tmp_path, sweep_seconds=0.5) as shelf:
        for key in ("broken", "whole"):
            await shelf.put(key, b"x" * 100, ttl=Duration(nanos=300_000_000), tags=["t"])
        with closing(sqlite3.connect(tmp_path / "cache.db", timeout=30, isolation_level=None)) as raw:
            raw.execute("UPDATE entries SET tags = '[broken' WHERE key = 'broken'")

        async def swept() -> bool:
            return not any(count(tmp_path, table) for table in ("entries", "entry_tags", "blobs"))

        await eventually(swept)
        await shelf.put("next", b"x", ttl=Duration(nanos=1_000_000))
        await eventually(swept)
