"""Runs of VerifyCache that are killed, cancelled, or lose their cache."""

from __future__ import annotations

import signal

import pytest
from google.longrunning import operations_pb2 as lro
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler, connect
from sutler.errors import Code, SutlerError
from sutler.server import running
from sutler.type.v1 import operation_pb2

from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, eventually, refused
from tests.integration.cache.damage import database, ended_of, verify
from tests.integration.cache.places import Place, process

MANY = 20_000
EVERY = 100


async def filled(client: Sutler) -> Shelf:
    """A cache with many entries."""
    await client.cache.UpdateCache(pb.UpdateCacheRequest(cache=pb.Cache(name="caches/c"), allow_missing=True))
    shelf = Shelf(client, "caches/c")
    for start in range(0, MANY, 1000):
        rows = [
            pb.PutEntryRow(key=f"k{number:05}", entry=pb.Entry(inline_value=b"x" * 10))
            for number in range(start, start + 1000)
        ]
        await client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))
    return shelf


def spoil(settings: Settings) -> None:
    """Damages one entry of every hundred that are there."""
    with database(Place(settings.data, settings.blob_folder)) as execute:
        execute("UPDATE entries SET value = x'00112233445566778899' WHERE CAST(SUBSTR(key, 2) AS BIGINT) % 100 = 7")


async def in_the_middle(client: Sutler, name: str) -> operation_pb2.OperationMetadata:
    """Waits until an operation is well on its way."""
    metadata = operation_pb2.OperationMetadata()

    async def going() -> bool:
        operation = await client.cache.GetOperation(lro.GetOperationRequest(name=name))
        operation.metadata.Unpack(metadata)
        assert not operation.done, "it was too fast for this test"
        return metadata.progress_percent >= 10

    await eventually(going)
    return metadata


async def is_ready(client: Sutler) -> bool:
    try:
        await client.cache.ListCaches(pb.ListCachesRequest(), timeout=1)
    except SutlerError:
        return False
    return True


@pytest.mark.timeout(180)
async def test_a_killed_run_goes_on_and_counts_nothing_twice(sqlite_settings: Settings, free_port: int) -> None:
    address = f"127.0.0.1:{free_port}"
    async with process(sqlite_settings, free_port) as server, connect(address) as client:
        await eventually(lambda: is_ready(client), 60)
        shelf = await filled(client)
        spoil(sqlite_settings)
        begun = await client.cache.VerifyCache(pb.VerifyCacheRequest(name=shelf.name, repair=True))
        await in_the_middle(client, begun.name)
        assert (await shelf.get("k00001")).inline_value == b"x" * 10
        server.send_signal(signal.SIGKILL)
        await server.wait()
    async with process(sqlite_settings, free_port), connect(address) as client:
        await eventually(lambda: is_ready(client), 60)
        ended, answer = await ended_of(client, begun.name), pb.VerifyCacheResponse()
        assert ended.response.Unpack(answer), ended
        assert (answer.entry_count, answer.problem_count, answer.removed_count) == (MANY, MANY // EVERY, MANY // EVERY)
        metadata = operation_pb2.OperationMetadata()
        ended.metadata.Unpack(metadata)
        assert metadata.attempt == 2
        assert (await verify(Shelf(client, shelf.name))).problem_count == 0


@pytest.mark.timeout(180)
async def test_what_a_cancelled_run_has_mended_stays_mended(sqlite_settings: Settings) -> None:
    async with running(app, sqlite_settings, "cache") as server, connect(server.address) as client:
        shelf = await filled(client)
        spoil(sqlite_settings)
        begun = await client.cache.VerifyCache(pb.VerifyCacheRequest(name=shelf.name, repair=True))
        await in_the_middle(client, begun.name)
        with refused(Code.ABORTED, "OPERATION_IN_PROGRESS", operation=begun.name):
            await verify(shelf)
        await client.cache.CancelOperation(lro.CancelOperationRequest(name=begun.name))
        ended = await ended_of(client, begun.name)
        assert (ended.done, ended.error.code) == (True, int(Code.CANCELLED))
        left = await verify(shelf)
        assert left.entry_count + MANY // EVERY - left.problem_count == MANY
        assert 0 < left.problem_count < MANY // EVERY


async def test_a_run_ends_when_its_cache_is_deleted(sqlite_settings: Settings) -> None:
    async with running(app, sqlite_settings, "cache") as server, connect(server.address) as client:
        shelf = await filled(client)
        begun = await client.cache.VerifyCache(pb.VerifyCacheRequest(name=shelf.name))
        await client.cache.DeleteCache(pb.DeleteCacheRequest(name=shelf.name, force=True))
        ended = await ended_of(client, begun.name)
        assert (ended.done, ended.error.code) == (True, int(Code.NOT_FOUND))
