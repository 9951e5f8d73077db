"""Disks that take no more: in the middle of the work, and at the start."""

from __future__ import annotations

from pathlib import Path

import pytest
from sutler.cache.v1 import cache_pb2
from sutler.client import Sutler, connect
from sutler.errors import Code, NotFound, SutlerError

from tests.integration.faults.conftest import new_id
from tests.integration.faults.disks import full, writes_fail
from tests.integration.faults.faces import CACHE, Face
from tests.integration.faults.refusals import refused


async def check_answers(face: Face, s: Sutler, code: Code, reason: str, request: str) -> None:
    """Checks what a service without room says, that it still reads, and that it has done nothing by halves."""
    for _ in range(3):
        with refused(face, code, reason, retry=True):
            await face.change(s, "during", request)
    await face.read(s, "before")
    with pytest.raises(NotFound):
        await face.read(s, "during")


async def test_failing_writes_lose_nothing_and_stop_no_read(face: Face, tmp_path: Path) -> None:
    request = new_id()
    with face.process(tmp_path, log_level="info") as process:
        await process.serving()
        async with connect(process.address, attempts=1) as s:
            await face.prepare(s)
            await face.change(s, "before", new_id())
            with writes_fail(process):
                # SQLite takes a write that fails for another reason than ENOSPC for a broken disk.
                await check_answers(face, s, Code.UNAVAILABLE, "STORAGE_UNAVAILABLE", request)
                await process.serving()
            await face.change(s, "after", new_id())
        process.kill()
    async with face.serving(tmp_path) as (s, _):
        for id in ("before", "after"):
            await face.read(s, id)
        with pytest.raises(NotFound):
            await face.read(s, "during")
        await face.change(s, "during", request)
        await face.read(s, "during")


async def test_a_full_disk_loses_nothing_and_stops_no_read(face: Face, disk: Path) -> None:
    request = new_id()
    async with face.serving(disk) as (s, _):
        await face.prepare(s)
        await face.change(s, "before", new_id())
        with full(disk):
            await check_answers(face, s, Code.RESOURCE_EXHAUSTED, "STORAGE_FULL", request)
        await face.change(s, "during", request)
    async with face.serving(disk) as (s, _):
        for id in ("before", "during"):
            await face.read(s, id)


async def test_a_start_without_room_is_refused(face: Face, disk: Path) -> None:
    with full(disk), pytest.raises(SutlerError) as new:
        async with face.serving(disk):
            pass
    assert new.value.reason in ("STORAGE_FULL", "STATE_INVALID")
    async with face.serving(disk) as (s, _):
        await face.prepare(s)
        await face.change(s, "before", new_id())
    with full(disk), pytest.raises(SutlerError) as old:
        async with face.serving(disk):
            pass
    assert old.value.metadata == {"path": str(face.database(disk))}
    async with face.serving(disk) as (s, _):
        await face.read(s, "before")


async def test_a_large_value_that_does_not_fit_leaves_the_old_one(disk: Path) -> None:
    async def put(s: Sutler, value: bytes) -> None:
        entry = cache_pb2.Entry(inline_value=value)
        await s.cache.PutEntry(cache_pb2.PutEntryRequest(cache="caches/c", key="k", entry=entry))

    async with CACHE.serving(disk) as (s, _):
        await CACHE.prepare(s)
        old, new = b"o" * 200_000, b"n" * 200_000
        await put(s, old)
        blobs = CACHE.database(disk).with_name("cache.db.blobs")
        files = sorted(blobs.rglob("*"))
        with full(disk):
            with refused(CACHE, Code.RESOURCE_EXHAUSTED, "STORAGE_FULL", retry=True):
                await put(s, new)
            assert (await s.cache.GetEntry(cache_pb2.GetEntryRequest(cache="caches/c", key="k"))).inline_value == old
            assert sorted(blobs.rglob("*")) == files
        await put(s, new)
