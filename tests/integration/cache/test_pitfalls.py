"""What everyone in this field gets wrong, as far as no other test shows it; the service's README lists them all."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sutler.backends import BackendKind, BackendType, Capability
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.client.cache import asking, cached, open
from sutler.errors import AlreadyExists, Code
from sutler.server import running
from sutler.testing import ServiceProcess, wait_until

from services.cache import adapters
from services.cache.adapters.memory_bytes import MemoryBytes, MemoryOptions
from services.cache.adapters.objects.owner import OWNER
from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf, refused
from tests.integration.cache.places import Place, made, settings_of


@pytest.mark.timeout(120)
async def test_pitfall_lost_updates(sqlite_settings: Settings, tmp_path: Path) -> None:
    """Three processes on one file count to 150 together, and of 75 creates of 25 keys 25 succeed."""
    places = {"data": sqlite_settings.data, "blobs": str(sqlite_settings.blob_folder)}
    async with AsyncExitStack() as stack:
        processes = [ServiceProcess("services.cache", "SUTLER_CACHE_", folder=tmp_path, **places) for _ in range(3)]
        for process in processes:
            stack.enter_context(process)
        await asyncio.gather(*(process.serving() for process in processes))
        clients = [await stack.enter_async_context(connect(process.address)) for process in processes]
        name = (await made(clients[0])).name
        shelves = [Shelf(client, name) for client in clients]

        async def work(shelf: Shelf, number: int) -> int:
            await shelf.increment("n")
            await shelf.increment("n")
            try:
                await shelf.put(f"k{number}", b"x", condition=pb.PutCondition(absent=True))
            except AlreadyExists:
                return 0
            return 1

        created = await asyncio.gather(*(work(shelf, number) for number in range(25) for shelf in shelves))
        assert [(await shelf.get("n")).counter_value for shelf in shelves] == [150] * 3
        assert sum(created) == 25


async def test_pitfall_idempotency_after_a_restart(sqlite_settings: Settings) -> None:
    """The same request id and body: the first answer, and one effect, also from a process that was not there before."""
    counting, making = str(uuid4()), str(uuid4())
    cache = pb.CreateCacheRequest(cache_id="c", cache=pb.Cache(), request_id=making)
    answers = []
    for _ in range(2):
        async with running(app, sqlite_settings, "cache") as server, connect(server.address) as client:
            shelf = Shelf(client, (first := await client.cache.CreateCache(cache)).name)
            answers.append((first, await shelf.increment("n", delta=5, request_id=counting)))
            assert (await shelf.get("n")).counter_value == 5
            with refused(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED"):
                await shelf.increment("n", delta=6, request_id=counting)
    assert answers[0] == answers[1]


async def test_pitfall_circuit_breaker(
    sqlite_settings: Settings, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the cache is down functions run without it; when it is back it is used again."""
    monkeypatch.setitem(asking.BREAKER, "pause", 0.2)
    settings = sqlite_settings.model_copy(update={"port": free_port})
    async with running(app, settings, "cache") as server, connect(server.address) as client:
        name = (await made(client)).name
    async with open(name.removeprefix("caches/"), f"127.0.0.1:{free_port}") as cache:

        @cached(cache=cache, timeout=1.0)
        async def load() -> int:
            return 1

        assert [await load() for _ in range(4)] == [1] * 4
        assert load.info().errors == 4
        async with running(app, settings, "cache"):

            async def is_used() -> bool:
                await load()
                return load.info().hits > 0

            await wait_until(is_used)


class Meeting(MemoryBytes):
    """A byte store in which whoever reads or writes a blob waits for some others.

    Attributes:
        most: How many did so at once.
    """

    wanted = 4
    most = 0

    def __init__(self, options: MemoryOptions) -> None:
        super().__init__(options)
        self._here, self._met = 0, asyncio.Condition()

    async def read(self, name: str, offset: int, length: int) -> bytes | None:
        await self._meet(name)
        return await super().read(name, offset, length)

    @asynccontextmanager
    async def writer(self, name: str) -> AsyncIterator[Any]:
        await self._meet(name)
        async with super().writer(name) as writer:
            yield writer

    async def _meet(self, name: str) -> None:
        if name == OWNER:
            return
        async with self._met, asyncio.timeout(10):
            self._here += 1
            Meeting.most = max(Meeting.most, self._here)
            self._met.notify_all()
            await self._met.wait_for(lambda: Meeting.most >= self.wanted)
            self._here -= 1


async def test_pitfall_order_and_fan_out(sqlite_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blobs of a batch are written and read together, not all at once, and come in the order of the keys."""
    kind = BackendType(
        kind=BackendKind.BLOB,
        type="meeting",
        description="",
        factory=Meeting,
        options=MemoryOptions,
        capabilities=(Capability.DURABLE,),
    )
    monkeypatch.setattr(adapters, "BUILTIN", (*adapters.BUILTIN, kind))
    settings = Settings(**sqlite_settings.model_dump() | {"blob_backends": {"together": {"type": "meeting"}}})
    keys = [f"k{number:02}" for number in range(40)]
    async with running(app, settings, "cache") as server, connect(server.address) as client:
        shelf = await made(client, blob_backend="together", inline_limit_bytes=0)
        rows = [pb.PutEntryRow(key=key, entry=pb.Entry(inline_value=key.encode())) for key in keys]
        put = await client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))
        assert [result.entry.key for result in put.results] == keys
        assert Meeting.wanted <= Meeting.most < len(keys)
        Meeting.most = 0
        keys = [*reversed(keys), "none", *keys[:3]]
        got = await client.cache.BatchGetEntries(pb.BatchGetEntriesRequest(cache=shelf.name, keys=keys))
        assert [result.entry.inline_value.decode() or "none" for result in got.results] == keys
        assert Meeting.wanted <= Meeting.most < len(keys)


@pytest.mark.timeout(120)
async def test_pitfall_complexity(tmp_path: Path) -> None:
    """Calls beside 20,000 entries take the CPU that they take beside 500, wherever the entries stand."""
    sizes = (500, 20_000)
    async with AsyncExitStack() as stack:
        shelves = []
        for size in sizes:
            settings = settings_of(Place(f"sqlite:///{tmp_path}/{size}.db", tmp_path / f"{size}"))
            server = await stack.enter_async_context(running(app, settings, "cache"))
            shelves.append(await made(await stack.enter_async_context(connect(server.address))))
        for shelf, size in zip(shelves, sizes, strict=True):
            await fill(shelf, size)
        few, many = [await calls_at(shelf, size - LAST) for shelf, size in zip(shelves, sizes, strict=True)]
        costs = {name: await compared(few[name], many[name]) for name in few}
    slower = {name: cost for name, cost in costs.items() if cost[1] > 2 * cost[0]}
    assert not slower


LAST = 100
Call = Callable[[int], Awaitable[object]]


async def fill(shelf: Shelf, size: int) -> None:
    """Puts entries; each fifty of them have a tag of their own, and the last hundred a content type."""

    def row(number: int) -> pb.PutEntryRow:
        kind = "a/last" if number >= size - LAST else ""
        entry = pb.Entry(inline_value=b"x" * 50, tags=[f"t{number // 50}"], content_type=kind)
        return pb.PutEntryRow(key=f"k{number:06}", entry=entry)

    for start in range(0, size, 500):
        rows = [row(number) for number in range(start, start + 500)]
        await shelf.client.cache.BatchPutEntries(pb.BatchPutEntriesRequest(cache=shelf.name, rows=rows))


async def calls_at(shelf: Shelf, first: int) -> dict[str, Call]:
    """Returns calls by what they do, about the entries from a place on; each is made with 0, 1, 2, …"""
    client = shelf.client.cache
    batch = pb.BatchGetEntriesRequest(cache=shelf.name, keys=[f"k{first + number:06}" for number in range(10)])
    lease: Any = pb.LeaseEntryRequest(cache=shelf.name, key=f"k{first:06}")
    page = pb.ListEntriesRequest(cache=shelf.name, prefix="k", filter="content_type = a/last", page_size=9)
    page.page_token = (await client.ListEntries(page)).next_page_token

    def key(number: int) -> str:
        return f"k{first + number:06}"

    return {
        "get": lambda number: shelf.get(key(number)),
        "batch get": lambda number: client.BatchGetEntries(batch),
        "put": lambda number: shelf.put(key(number), b"y", tags=[f"t{first // 50}"]),
        "put new": lambda number: shelf.put(f"new {uuid4()}", b"y"),
        "touch": lambda number: shelf.touch(key(number), ttl={"seconds": 60}),
        "increment": lambda number: shelf.increment("n", request_id=str(uuid4())),
        "lease": lambda number: client.LeaseEntry(lease),
        "list": lambda number: shelf.keys(prefix=key(0)[:-1]),
        "next page": lambda number: client.ListEntries(page),
        "select by key": lambda number: shelf.invalidate(keys=[key(number)], validate_only=True),
        "select by tag": lambda number: shelf.invalidate(tags=[f"t{first // 50}"], validate_only=True),
        "select by tags": lambda number: shelf.invalidate(tags=["none", f"t{first // 50}"], validate_only=True),
        "select by prefix": lambda number: shelf.invalidate(prefix=key(0)[:-1], validate_only=True),
        "stats": lambda number: client.GetCacheStats(pb.GetCacheStatsRequest(name=shelf.name)),
        "delete": lambda number: shelf.delete(key(number)),
    }


async def compared(one: Call, other: Call) -> tuple[float, float]:
    """Returns the CPU that two calls take, in the middle of thirty each that take turns."""
    taken: tuple[list[float], list[float]] = [], []
    for number in range(30):
        for call, times in zip((one, other), taken, strict=True):
            began = time.process_time()
            await call(number)
            times.append(time.process_time() - began)
    return statistics.median(taken[0]), statistics.median(taken[1])
