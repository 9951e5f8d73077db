"""What everyone in this field gets wrong, as far as no other test shows it; the service's README lists them all."""

from __future__ import annotations

import asyncio
import sqlite3
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import sutler.client
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import Conflict, Invalid
from sutler.testing import ServiceProcess
from sutler.wire import from_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, RULES, connect, gateway
from tests.integration.erp.feeds import in_state, subscribe
from tests.integration.erp.requests import call, create, request_id, update
from tests.integration.erp.servers import Call, Proxy, Reply, serving
from tests.integration.erp.test_cache_api import caching

PARTNER = "res.partner"


def read(record_id: int, *fields: str, model: str = PARTNER) -> pb.GetRecordRequest:
    return pb.GetRecordRequest(connection=MAIN, model=model, id=record_id, fields=fields)


async def test_pitfall_async_caching(
    sqlite: str, tmp_path: Path, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    """A hundred misses are one call; what is empty is kept like anything else; a write really clears it."""
    server, url = proxy
    [one] = sandbox.call(PARTNER, "create", [{"name": "empty"}])
    nothing = pb.SearchRecordsRequest(connection=MAIN, model=PARTNER, filter='name = "nobody at all"')
    wanted = read(one, "name", "email", "child_ids", "category_id", "active")
    async with caching(tmp_path) as address, gateway(sqlite, cache_address=address) as client:
        await connect(client, url)
        await client.erp.GetRecord(read(10))
        before = server.count("read")
        found = await asyncio.gather(*(client.erp.GetRecord(wanted) for _ in range(100)))
        assert server.count("read") - before == 1
        assert len({each.values.SerializeToString(deterministic=True) for each in found}) == 1
        assert not (await client.erp.SearchRecords(nothing)).records
        calls = len(server.calls)
        again = await client.erp.GetRecord(wanted)
        values = from_struct(again.values)
        assert (values["email"], values["child_ids"], values["category_id"]) == (None, [], [])
        empty = await client.erp.SearchRecords(nothing)
        assert pb.DataSource.ORIGIN_ERP not in (again.source.origin, empty.source.origin)
        assert len(server.calls) == calls
        await client.erp.UpdateRecord(update(one, {"name": "nobody at all"}))
        assert from_struct((await client.erp.GetRecord(wanted)).values)["name"] == "nobody at all"
        assert [each.id for each in (await client.erp.SearchRecords(nothing)).records] == [one]


@pytest.mark.timeout(120)
async def test_pitfall_lost_updates_and_idempotency(sandbox: SandboxProcess, sqlite: str, tmp_path: Path) -> None:
    """Three processes on one file: 3 × 10 creates are 30 records; what all three are asked for is made once."""
    async with AsyncExitStack() as stack:
        settings = {"data": sqlite, "secret_keys": KEY, "log_level": "error"}
        processes = [ServiceProcess("services.erp", "SUTLER_ERP_", folder=tmp_path, **settings) for _ in range(3)]
        for process in processes:
            stack.enter_context(process)
        await asyncio.gather(*(process.serving() for process in processes))
        clients = [await stack.enter_async_context(sutler.client.connect(each.address)) for each in processes]
        await connect(clients[0], sandbox.url)
        shared = [create({"name": "x", "ref": "pit-shared"}, PARTNER, request_id=request_id()) for _ in range(10)]
        own = [create({"name": "x", "ref": "pit-own"}, PARTNER) for _ in range(10)]
        made = [
            await asyncio.gather(*(client.erp.CreateRecord(each) for client in clients)) for each in shared
        ]  # of one request three at once, of ten requests one after the other
        await asyncio.gather(*(client.erp.CreateRecord(each) for client in clients for each in own))
        assert [len({each.id for each in answers}) for answers in made] == [1] * 10
        processes[0].kill()
        processes[0].start()
        await processes[0].serving()
        again = [await clients[0].erp.CreateRecord(each) for each in shared]
        assert again == [answers[0] for answers in made]
        with pytest.raises(Invalid) as caught:
            await clients[1].erp.CreateRecord(create({"name": "y"}, PARTNER, request_id=shared[0].request_id))
        assert caught.value.reason == "REQUEST_ID_REUSED"
    assert sandbox.call(PARTNER, "search_count", [["ref", "=", "pit-shared"]]) == 10
    assert sandbox.call(PARTNER, "search_count", [["ref", "=", "pit-own"]]) == 30


async def test_pitfall_order_and_fan_out(sqlite: str, proxy: tuple[Proxy, str]) -> None:
    """Relations of one level are read at the same time, records come in the order of their ids."""
    behind, _ = proxy
    together = asyncio.Barrier(2)

    async def answer(asked: Call) -> Reply:
        if asked.method == "read" and asked.model in (PARTNER, "sale.order.line"):
            await asyncio.wait_for(together.wait(), 5)
        return await behind.answer(asked)

    fields = ["partner_id.country_id", "order_line.product_uom_qty"]
    async with serving(answer) as url, gateway(sqlite) as client:
        await connect(client, url)
        request = pb.BatchGetRecordsRequest(connection=MAIN, model="sale.order", ids=[3, 1, 2, 1], fields=fields)
        found = await client.erp.BatchGetRecords(request)
        assert [each.id for each in found.records] == [3, 1, 2, 1]
        assert all("country_id" in from_struct(each.values)["partner_id"] for each in found.records)


SIZES = (1_000, 100_000)
COPIES = {
    "connections": {"uid": "'u' || i", "key": "'c' || i", "name": "'connections/c' || i"},
    "subscriptions": {"uid": "'s' || i", "key": "'s' || i", "name": "name || i"},
    "observations": {"record_id": "100000 + i"},
    "journal": {"uid": "'j' || i", "request_id": "'r' || i", "name": "name || i", "create_time": "create_time - i"},
    "field_sets": {"digest": "'d' || i"},
    "requests": {"request_id": "'r' || i"},
}
"""The tables that grow with use, and what differs between their rows."""


@pytest.mark.timeout(180)
async def test_pitfall_complexity(tmp_path: Path, proxy: tuple[Proxy, str]) -> None:
    """Calls beside 100,000 stored rows of everything take the CPU that they take beside 1,000."""
    server, url = proxy
    async with AsyncExitStack() as stack:
        costs = list[dict[str, Callable[[], Awaitable[object]]]]()
        for size in SIZES:
            data = f"{tmp_path}/{size}.db"
            client = await stack.enter_async_context(
                gateway(f"sqlite:///{data}", poll_interval_seconds=600, secret_keys=KEY)
            )
            await stored(client, server, url)
            fill(data, size)
            costs.append(await calls_of(client))
        compared = {name: await taken(costs[0][name], costs[1][name]) for name in costs[0]}
    slower = {name: cost for name, cost in compared.items() if cost[1] > 2 * cost[0]}
    assert not slower


async def stored(client: Sutler, server: Proxy, url: str) -> None:
    """Stores one of everything: a connection, a subscription with what it saw, a write whose outcome is unknown."""
    await connect(client, url, method_rules=RULES)
    await subscribe(client, disabled=False)
    await in_state(client, pb.Subscription.STATE_ACTIVE)
    await client.erp.CreateRecord(create({"name": "x"}, PARTNER, request_id=request_id()))
    server.lose("action_cancel")
    with pytest.raises(Conflict):
        await client.erp.CallMethod(call("action_cancel", 3, request_id=request_id()))


def fill(data: str, size: int) -> None:
    """Adds copies of the stored rows."""
    with sqlite3.connect(data, timeout=30) as store:
        for table, changed in COPIES.items():
            columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(changed.get(column, column) for column in columns)
            store.execute(
                f"INSERT INTO {table} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {size}) "
                f"SELECT {values} FROM (SELECT * FROM {table} LIMIT 1), n"
            )
            assert store.execute(f"SELECT count(*) FROM {table}").fetchone()[0] > size


async def calls_of(client: Sutler) -> dict[str, Callable[[], Awaitable[object]]]:
    """Returns calls by what they do."""
    erp = client.erp
    etag = (await erp.UpdateRecord(update(10, {"color": 1}, fields=["color"]))).etag
    return {
        "get": lambda: erp.GetRecord(read(10, "name", "country_id.code")),
        "search": lambda: erp.SearchRecords(pb.SearchRecordsRequest(connection=MAIN, model=PARTNER, page_size=5)),
        "create": lambda: erp.CreateRecord(create({"name": "x"}, PARTNER, request_id=request_id())),
        "update": lambda: erp.UpdateRecord(update(10, {"color": 1}, etag=etag, request_id=request_id())),
        "connection": lambda: erp.GetConnection(pb.GetConnectionRequest(name=MAIN)),
        "connections": lambda: erp.ListConnections(pb.ListConnectionsRequest(page_size=5)),
        "transactions": lambda: erp.ListTransactions(pb.ListTransactionsRequest(parent=MAIN, page_size=5)),
    }


async def taken(one: Callable[[], Awaitable[object]], other: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Returns the CPU that two calls take, in the middle of thirty each that take turns."""
    times: tuple[list[float], list[float]] = [], []
    for _ in range(30):
        for make, mine in zip((one, other), times, strict=True):
            began = time.process_time()
            await make()
            mine.append(time.process_time() - began)
    return statistics.median(times[0]), statistics.median(times[1])
