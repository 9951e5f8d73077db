"""The measurements of ``make bench-erp`` that count calls of the ERP or compare with the peers."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from statistics import median

from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.wire import to_struct, to_value

from tests.bench.cache_load import peak_memory, reset_peak
from tests.bench.erp_peers import peers
from tests.bench.erp_serving import MAIN, TOKEN, Erp, erp, services, small
from tests.bench.harness import Line

GET = "/sutler.erp.v1.ErpGateway/GetRecord"
PARTNER = "res.partner"
FIELDS = ["name", "email", "phone", "color"]
CROWD = [["ref", "=like", "crowd-%"]]
CONCURRENT = 32
ROUNDS = 20
PAUSE = 0.2
"""Seconds between what this process does to measure and what is measured."""


def crowd(server: Erp, count: int) -> list[int]:
    """Returns the ids of so many of the customers that the sandbox was started with."""
    found = server.call(PARTNER, "search", CROWD, limit=count, order="id")
    assert len(found) == count
    return [int(one) for one in found]


async def cold(folder: Path) -> list[Line]:
    """Reads different records at once that nobody has read before, in turn with the peers."""
    with erp("--partners", str(CONCURRENT * (ROUNDS + 1))) as server:
        async with services(folder, server.url) as running, peers(server.url) as others:
            ids = crowd(server, CONCURRENT * (ROUNDS + 1))
            took: dict[str, list[float]] = {"ours": [], "zenoo_read": [], "httpx_read": []}
            calls: dict[str, list[int]] = {name: [] for name in took}
            for number in range(ROUNDS + 1):
                some = ids[number * CONCURRENT :][:CONCURRENT]
                for name in took:
                    server.counts()
                    gc.collect()
                    await asyncio.sleep(PAUSE)
                    if name == "ours":
                        seconds = await got(running.s, some)
                    else:
                        seconds, _ = await others.run(name, some, FIELDS)
                    if number:  # the first one warms up
                        took[name].append(seconds)
                        calls[name].append(server.total())
    rates = {name: CONCURRENT / median(seconds) for name, seconds in took.items()}
    known = f"{rates['ours']:,.0f}/s; zenoo-rpc {rates['zenoo_read']:,.0f}/s, httpx {rates['httpx_read']:,.0f}/s"
    counted = {name: median(each) for name, each in calls.items()}
    return [
        Line("32 GetRecords at once, cold / zenoo-rpc", rates["ours"] / rates["zenoo_read"], 8, known),
        Line(
            "calls of the ERP for them / zenoo-rpc",
            counted["ours"] / counted["zenoo_read"],
            0.1,
            f"{counted['ours']:.0f}; zenoo-rpc {counted['zenoo_read']:.0f}",
            at_most=True,
        ),
    ]


async def got(s: Sutler, ids: list[int]) -> float:
    """Reads records at once, as serialised messages, and returns how many seconds that took."""
    call, metadata = s.channel.unary_unary(GET), (("authorization", f"Bearer {TOKEN}"),)
    requests = [pb.GetRecordRequest(connection=MAIN, model=PARTNER, id=one, fields=FIELDS) for one in ids]
    bodies = [request.SerializeToString() for request in requests]
    start = time.perf_counter()
    found = await asyncio.gather(*(call(body, metadata=metadata) for body in bodies))
    seconds = time.perf_counter() - start
    assert [pb.Record.FromString(each).id for each in found] == ids
    return seconds


async def customers(folder: Path) -> list[Line]:
    """Lists 200 customers with their orders."""
    with erp("--partners", "250") as server:
        async with services(folder, server.url) as running:
            ids = crowd(server, 250)
            for one in ids[:100]:
                server.call("sale.order", "create", [{"partner_id": one}])
            warm = pb.ListCustomerOrdersRequest(parent=MAIN, customer_ids=ids[200:])
            await running.s.erp.ListCustomerOrders(warm)
            server.counts()
            request = pb.ListCustomerOrdersRequest(parent=MAIN, customer_ids=ids[:200], page_size=200)
            found = (await running.s.erp.ListCustomerOrders(request)).customer_orders
            calls = server.counts()
    assert sum(bool(one.orders) for one in found) == 100
    told = ", ".join(f"{count} {name}" for name, count in sorted(calls.items()))
    return [Line("ListCustomerOrders of 200, calls", sum(calls.values()), 3, told, at_most=True)]


async def creates(folder: Path) -> list[Line]:
    """Creates 1,000 records in one batch, and one by one with zenoo-rpc."""
    count = small(1_000)
    with erp() as server:
        async with services(folder, server.url) as running, peers(server.url) as others:
            await running.s.erp.GetRecord(pb.GetRecordRequest(connection=MAIN, model=PARTNER, id=10, fields=FIELDS))
            rows = [{"name": f"made {number}", "color": number % 10} for number in range(count)]
            server.counts()
            request = pb.BatchCreateRecordsRequest(
                connection=MAIN, model=PARTNER, rows=[pb.RecordInput(values=to_struct(row)) for row in rows]
            )
            start = time.perf_counter()
            made = await running.s.erp.BatchCreateRecords(request, timeout=300)
            seconds = time.perf_counter() - start
            calls = server.counts()
            assert len({one.id for one in made.records}) == count
            others_took, _ = await others.run("zenoo_create", rows)
            theirs = server.total()
    told = ", ".join(f"{each} {name}" for name, each in sorted(calls.items()))
    name = f"BatchCreateRecords of {count:,}, calls"
    beside = f"{told}; {seconds:.1f} s; zenoo-rpc {theirs:,} calls, {others_took:.1f} s"
    return [
        Line(name, sum(calls.values()), 2, beside, at_most=True),
        Line(f"{count:,} creates of zenoo-rpc, calls", theirs, count, "what it is compared with"),
    ]


async def export(folder: Path) -> list[Line]:
    """Exports many records, in turn with a loop of plain httpx over the same pages."""
    count = small(200_000)
    ours, alone, grown, size = list[float](), list[float](), 0.0, 0
    with erp("--partners", str(count)) as server:
        async with services(folder, server.url) as running, peers(server.url) as others:
            await running.s.erp.GetRecord(pb.GetRecordRequest(connection=MAIN, model=PARTNER, id=10, fields=FIELDS))
            for _ in range(3):
                server.counts()
                reset_peak(running.gateway.pid)
                before = peak_memory(running.gateway.pid)
                ours.append(await _exported(running.s, count))
                grown = max(grown, peak_memory(running.gateway.pid) - before)
                pages = max(server.counts().values())
                size = -(-count // pages)
                seconds, found = await others.run("httpx_pages", CROWD, FIELDS, size)
                assert found == count
                alone.append(seconds)
    rate = count / median(ours)
    return [
        Line(
            f"ExportRecords of {count:,} / the ERP alone",
            median(alone) / median(ours),
            0.9,
            f"{rate:,.0f}/s; httpx over pages of {size:,} alone {count / median(alone):,.0f}/s",
        ),
        Line("memory that an export adds", grown, 64, "the gateway's peak", " MiB", at_most=True),
    ]


async def _exported(s: Sutler, count: int) -> float:
    request = pb.ExportRecordsRequest(
        connection=MAIN, model=PARTNER, domain=to_value(CROWD).list_value, fields=FIELDS, chunk_size=1000
    )
    start, last, seen = time.perf_counter(), 0, 0
    async for message in s.erp.ExportRecords(request, timeout=600):
        for record in message.records:
            assert record.id > last
            last = record.id
        seen += len(message.records)
    assert seen == count
    return time.perf_counter() - start
