"""Each kind of damage, made by hand, is found by VerifyCache, and mended where that is wanted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from google.longrunning import operations_pb2 as lro
from google.protobuf.duration_pb2 import Duration
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.errors import Code
from sutler.type.v1 import operation_pb2

from tests.integration.cache.calls import Shelf, refused
from tests.integration.cache.damage import database, ended_of, verify
from tests.integration.cache.places import Place

pytestmark = pytest.mark.asyncio(loop_scope="session")

OF_THE_CACHE = "id IN (SELECT blob_id FROM entries WHERE space = {space})"
LONG_AGO = time.time() - 3600
Kind, Outcome = pb.CacheProblem.Kind, pb.CacheProblem.Outcome


def kinds(answer: pb.VerifyCacheResponse) -> list[tuple[str, int, int]]:
    return [(problem.key, problem.kind, problem.outcome) for problem in answer.problems]


@pytest_asyncio.fixture(loop_scope="session")
async def full(client: Sutler, make_cache: Any) -> Shelf:
    """A cache with small and large values; a blob that two entries have; tags."""
    shelf = Shelf(client, await make_cache(inline_limit_bytes=100))
    for key in ("a", "b", "c"):
        await shelf.put(key, f"value of {key}".encode(), tags=["t", key])
    for key in ("large", "same"):
        await shelf.put(key, b"L" * 200)
    await shelf.write("huge", b"h" * (1 << 20), b"H" * 1000)
    return shelf


@pytest.fixture
def damage(place: Place, full: Shelf) -> Iterator[Any]:
    """Runs statements about the cache; ``{space}`` stands for its number."""
    with database(place) as execute:
        [(space,)] = execute("SELECT space FROM caches WHERE name = ?", full.name)
        yield lambda sql, *params: execute(sql.replace("{space}", str(space)), *params)


async def test_a_whole_cache_has_no_problems(full: Shelf) -> None:
    answer = await verify(full)
    size = 3 * len("value of a") + 200 + (1 << 20) + 1000
    assert answer == pb.VerifyCacheResponse(entry_count=6, blob_count=2, read_bytes=size)
    quick = await verify(full, metadata_only=True, repair=True)
    assert quick == pb.VerifyCacheResponse(entry_count=6, blob_count=2)


async def test_damaged_values_are_found_and_removed(full: Shelf, damage: Any) -> None:
    damage("UPDATE entries SET value = ? WHERE space = {space} AND key = 'a'", b"value of x")
    damage("UPDATE entries SET value = ? WHERE space = {space} AND key = 'b'", b"short")
    wrong = [("a", Kind.KIND_CHECKSUM_MISMATCH), ("b", Kind.KIND_SIZE_MISMATCH)]
    found = await verify(full)
    assert kinds(found) == [(*each, Outcome.OUTCOME_REPORTED) for each in wrong]
    assert (found.problem_count, found.repaired_count, found.removed_count) == (2, 0, 0)
    assert await full.reason("a") == "ENTRY_CORRUPT"
    quick = await verify(full, metadata_only=True)
    assert kinds(quick) == [("b", Kind.KIND_SIZE_MISMATCH, Outcome.OUTCOME_REPORTED)]
    mended = await verify(full, repair=True)
    assert kinds(mended) == [(*each, Outcome.OUTCOME_REMOVED) for each in wrong]
    assert (mended.problem_count, mended.repaired_count, mended.removed_count) == (2, 0, 2)
    assert await full.reason("a") == "ENTRY_NOT_FOUND"
    assert (await verify(full)).problem_count == 0
    assert await full.keys() == ["c", "huge", "large", "same"]


async def test_damaged_blobs_are_found_for_every_entry(full: Shelf, place: Place, damage: Any) -> None:
    files = dict(damage(f"SELECT sha256, locator FROM blobs WHERE {OF_THE_CACHE}"))
    small, huge = sorted(files.values(), key=lambda name: (place.blobs / name).stat().st_size)
    (place.blobs / small).unlink()
    (place.blobs / huge).write_bytes(b"x" * (place.blobs / huge).stat().st_size)
    removed = Outcome.OUTCOME_REMOVED
    quick = await verify(full, metadata_only=True)
    assert [key for key, kind, _ in kinds(quick) if kind == Kind.KIND_BLOB_MISSING] == ["large", "same"]
    assert (await verify(full)).problem_count == 3
    mended = await verify(full, repair=True)
    assert kinds(mended) == [
        ("huge", Kind.KIND_CHECKSUM_MISMATCH, removed),
        ("large", Kind.KIND_BLOB_MISSING, removed),
        ("same", Kind.KIND_BLOB_MISSING, removed),
    ]
    assert {problem.blob.sha256 for problem in mended.problems} == set(files)
    assert (await verify(full)) == pb.VerifyCacheResponse(entry_count=3, read_bytes=30)


async def test_a_shortened_blob_is_of_the_wrong_size(full: Shelf, place: Place, damage: Any) -> None:
    [(locator,)] = damage(f"SELECT locator FROM blobs WHERE size_bytes > 1000 AND {OF_THE_CACHE}")
    os.truncate(place.blobs / locator, 5000)
    for fields in ({}, {"metadata_only": True}):
        assert kinds(await verify(full, **fields)) == [("huge", Kind.KIND_SIZE_MISMATCH, Outcome.OUTCOME_REPORTED)]


async def test_metadata_that_cannot_be_read_are_found_and_removed(full: Shelf, damage: Any) -> None:
    damage("UPDATE entries SET tags = '[broken' WHERE space = {space} AND key = 'a'")
    damage("UPDATE entries SET metadata = '[]' WHERE space = {space} AND key = 'b'")
    damage("UPDATE entries SET kind = 99 WHERE space = {space} AND key = 'large'")
    damage("UPDATE entries SET blob_id = NULL WHERE space = {space} AND key = 'same'")
    unreadable, removed = Kind.KIND_METADATA_UNREADABLE, Outcome.OUTCOME_REMOVED
    mended = await verify(full, repair=True)
    assert kinds(mended)[:4] == [
        ("a", unreadable, removed),
        ("b", unreadable, removed),
        ("large", unreadable, removed),
        ("same", Kind.KIND_BLOB_MISSING, removed),
    ]
    assert (await verify(full)).problem_count == 0
    assert await full.keys() == ["c", "huge"]
    assert await full.invalidate(tags=["t"]) == 1


async def test_totals_and_tags_are_counted_again(full: Shelf, damage: Any) -> None:
    damage("UPDATE spaces SET entries = 99, stored_bytes = 1 WHERE space = {space}")
    damage("DELETE FROM entry_tags WHERE space = {space} AND tag = 'a'")
    damage("INSERT INTO entry_tags (space, tag, key, tenant) VALUES ({space}, 'ghost', 'c', 'default')")
    damage("INSERT INTO entry_tags (space, tag, key, tenant) VALUES ({space}, 'ghost', 'nobody', 'default')")
    found = await verify(full)
    assert kinds(found) == [("", Kind.KIND_TOTALS_WRONG, Outcome.OUTCOME_REPORTED)] * 4
    assert await full.invalidate(tags=["a"], validate_only=True) == 0
    mended = await verify(full, repair=True)
    assert kinds(mended) == [("", Kind.KIND_TOTALS_WRONG, Outcome.OUTCOME_REPAIRED)] * 4
    assert (mended.repaired_count, mended.removed_count) == (4, 0)
    assert (await verify(full)).problem_count == 0
    assert await full.invalidate(tags=["ghost"]) == 0
    assert await full.invalidate(tags=["a"]) == 1
    stats = await full.client.cache.GetCacheStats(pb.GetCacheStatsRequest(name=full.name))
    assert (stats.entry_count, stats.stored_size_bytes) == (5, 20 + 200 + (1 << 20) + 1000)


async def test_orphaned_blobs_are_found_and_removed(full: Shelf, place: Place, damage: Any) -> None:
    [(locator,)] = damage(f"SELECT locator FROM blobs WHERE size_bytes = 200 AND {OF_THE_CACHE}")
    sha256 = uuid4().hex * 2
    orphan, young = [(place.blobs / locator).with_name(f"{sha256}.{name}") for name in ("old", "young")]
    foreign = place.blobs / ("0" * 32) / "00" / f"{sha256}.foreign"
    foreign.parent.mkdir(parents=True, exist_ok=True)
    for path in (orphan, young, foreign):
        path.write_bytes(b"y")
    for path in (orphan, foreign):
        os.utime(path, (LONG_AGO, LONG_AGO))
    found = await verify(full)
    assert [(each.kind, each.outcome, each.blob.sha256) for each in found.problems] == [
        (Kind.KIND_BLOB_ORPHANED, Outcome.OUTCOME_REPORTED, sha256)
    ]
    mended = await verify(full, repair=True, metadata_only=True)
    assert (mended.problem_count, mended.removed_count) == (1, 1)
    assert (orphan.exists(), young.exists(), foreign.exists()) == (False, True, True)
    foreign.unlink()


async def test_an_entry_that_expired_and_an_entry_put_anew_are_no_problems(full: Shelf, damage: Any) -> None:
    damage("UPDATE entries SET value = ? WHERE space = {space} AND key = 'a'", b"value of x")
    await full.put("a", b"healed")
    await full.put("short", b"x", ttl=Duration(nanos=1_000_000))
    assert (await verify(full, repair=True)).problem_count == 0
    assert (await full.get("a")).inline_value == b"healed"


async def test_a_thousand_problems_are_told_and_all_are_counted(full: Shelf, damage: Any) -> None:
    rows = [pb.PutEntryRow(key=f"k{number:04}", entry=pb.Entry(inline_value=b"x")) for number in range(1000)]
    for prefix in ("1", "2"):
        for row in rows:
            row.key = prefix + row.key[1:]
        await full.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=full.name, rows=rows))
    damage("UPDATE entries SET value = ? WHERE space = {space} AND size_bytes = 1", b"y")
    answer = await verify(full, repair=True)
    assert (answer.entry_count, answer.problem_count, answer.removed_count) == (2006, 2000, 2000)
    assert [problem.key for problem in answer.problems] == [f"1{number:04}" for number in range(1000)]


async def test_one_run_at_a_time_and_a_repeat_gets_the_same(full: Shelf, damage: Any) -> None:
    other = str(uuid4())
    damage(
        "INSERT INTO operations (name, tenant, method, target, state, progress, step, work, principal, creator,"
        " correlation_id, attempt, fence, start_time, update_time, end_time, response, error, ended, holder,"
        " lease_time, due_time) VALUES (?, 'default', 'VerifyCache', ?, 2, 0, '', '{}', '', '', '', 1, 1, 0, 0, 0,"
        " ?, ?, 0, 'somebody else', ?, 0)",
        *(f"cacheOperations/{other}", full.name, b"", b"", time.time() + 3600),
    )
    with refused(Code.ABORTED, "OPERATION_IN_PROGRESS", operation=f"cacheOperations/{other}"):
        await verify(full)
    damage("DELETE FROM operations WHERE name = ?", f"cacheOperations/{other}")
    request = pb.VerifyCacheRequest(name=full.name, request_id=str(uuid4()))
    first, again = [await full.client.cache.VerifyCache(request) for _ in range(2)]
    assert first.name == again.name
    await ended_of(full.client, first.name)
    metadata = operation_pb2.OperationMetadata()
    assert (await full.client.cache.GetOperation(lro.GetOperationRequest(name=first.name))).metadata.Unpack(metadata)
    assert (metadata.target, metadata.method, metadata.progress_percent) == (full.name, "VerifyCache", 100)
    listed = await full.client.cache.ListOperations(
        lro.ListOperationsRequest(name="cacheOperations", filter=f'metadata.target = "{full.name}"')
    )
    assert [operation.name for operation in listed.operations] == [first.name]


async def test_a_cache_that_is_not_there_cannot_be_verified(client: Sutler) -> None:
    with refused(Code.NOT_FOUND, "NOT_FOUND"):
        await client.cache.VerifyCache(pb.VerifyCacheRequest(name="caches/nobody-made-it"))
