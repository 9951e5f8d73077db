"""Answers that would be too large: bounded while they are made, and told with what to leave out."""

from __future__ import annotations

import asyncio
import base64
import os
import time

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import Exhausted
from sutler.wire import duration, from_struct

from services.erp.adapters import http
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN
from tests.integration.erp.servers import Proxy

ANEW = pb.ReadOptions(max_staleness=duration(0))
LINES = 60
MIB = 1024 * 1024
BACK_AND_FORTH = "order_line.order_id.order_line.order_id.order_line.name"
THERE = "order_line.order_id.order_line.name"


@pytest.fixture(scope="module")
def orders(sandbox: SandboxProcess) -> list[int]:
    lines = [[0, 0, {"product_id": 1, "product_uom_qty": 1}]] * LINES
    return sandbox.call("sale.order", "create", [{"partner_id": 10, "order_line": lines}] * 30)


class Pulse:
    """The longest time for which the event loop did not turn to it."""

    longest = 0.0

    async def beat(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.005)
            self.longest = max(self.longest, time.monotonic() - began)


async def test_paths_that_multiply_are_refused_before_they_fill_the_memory(erp: Sutler, orders: list[int]) -> None:
    read = pb.GetRecordRequest(connection=MAIN, model="sale.order", id=orders[0], fields=["name"], read_options=ANEW)
    await erp.erp.GetRecord(read)
    read.fields[:] = [BACK_AND_FORTH]
    pulse = Pulse()
    beating = asyncio.create_task(pulse.beat())
    with pytest.raises(Exhausted) as caught:
        await erp.erp.GetRecord(read)
    beating.cancel()
    assert caught.value.reason == "TOO_LARGE"
    assert caught.value.metadata["field"] == "order_line" and caught.value.metadata["model"] == "sale.order.line"
    assert pulse.longest < 1.5
    with pytest.raises(Exhausted):
        await erp.erp.BatchGetRecords(
            pb.BatchGetRecordsRequest(connection=MAIN, model="sale.order", ids=orders, fields=[THERE])
        )


async def test_pages_and_exports_of_much_are_made_of_less_at_a_time(erp: Sutler, orders: list[int]) -> None:
    ids = " OR ".join(f"id = {one}" for one in orders)
    search = pb.SearchRecordsRequest(
        connection=MAIN, model="sale.order", fields=[THERE], filter=ids, page_size=100, order_by="id", read_options=ANEW
    )
    found: list[int] = []
    while True:
        page = await erp.erp.SearchRecords(search)
        found += [one.id for one in page.records]
        search.page_token = page.next_page_token
        if not search.page_token:
            break
    assert found == orders
    export = pb.ExportRecordsRequest(connection=MAIN, model="sale.order", fields=[THERE], filter=ids)
    exported = [one async for chunk in erp.erp.ExportRecords(export) for one in chunk.records]
    assert [one.id for one in exported] == orders
    behind = from_struct(exported[0].values)["order_line"][0]["order_id"]["order_line"]
    assert len(behind) == LINES and behind[0]["name"]


def partners(sandbox: SandboxProcess, count: int, **values: str) -> list[int]:
    return sandbox.call("res.partner", "create", [{"name": f"Large {n}", **values} for n in range(count)])


def image(size: int) -> str:
    """Returns base64 of this many bytes that nothing compresses."""
    return base64.b64encode(os.urandom(size)).decode()


async def test_a_record_that_fits_into_no_answer_says_which_field_is_to_blame(
    erp: Sutler, sandbox: SandboxProcess
) -> None:
    [one] = partners(sandbox, 1, image_1920=image(4 * MIB))
    fields = ["name", "image_1920"]
    more = {"connection": MAIN, "model": "res.partner", "fields": fields, "include_binaries": True}
    for call in (
        erp.erp.GetRecord(pb.GetRecordRequest(id=one, **more)),
        erp.erp.BatchGetRecords(pb.BatchGetRecordsRequest(ids=[one], **more)),
        erp.erp.SearchRecords(pb.SearchRecordsRequest(filter=f"id = {one}", **more)),
    ):
        with pytest.raises(Exhausted) as caught:
            await call
        told = caught.value.metadata
        assert (caught.value.reason, told["model"], told["field"]) == ("TOO_LARGE", "res.partner", "image_1920")
        assert int(told["size_bytes"]) > 5 * MIB
        assert caught.value.resource == f"{MAIN}/res.partner/{one}"


async def test_binaries_are_read_as_many_as_fit(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, proxy = lossy
    ids = partners(sandbox, 40, image_1920=image(400_000))
    more = {"connection": MAIN, "model": "res.partner", "fields": ["image_1920"], "include_binaries": True}
    batch = pb.BatchGetRecordsRequest(ids=ids, **more)
    page = await client.erp.BatchGetRecords(batch)
    assert [one.id for one in page.records] == ids[: len(page.records)] and 0 < len(page.records) < 10
    asked = [call.args[0] for call in proxy.calls if call.method == "read"]
    assert sum(len(one) for one in asked) <= 12
    found = [one.id for one in page.records]
    while page.next_page_token:
        batch.page_token = page.next_page_token
        page = await client.erp.BatchGetRecords(batch)
        found += [one.id for one in page.records]
    assert found == ids
    search = pb.SearchRecordsRequest(filter=f"id >= {ids[0]}", page_size=1000, order_by="id", **more)
    page = await client.erp.SearchRecords(search)
    assert [one.id for one in page.records] == ids[: len(page.records)] and page.next_page_token
    assert [
        call.named["limit"] for call in proxy.calls if call.method == "search_read" and call.model == "res.partner"
    ] == [17]


async def test_an_answer_above_the_limit_is_asked_for_in_parts(
    erp: Sutler, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = partners(sandbox, 24, comment="x" * 10_000)
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 80_000)
    more = {"connection": MAIN, "model": "res.partner", "fields": ["comment"]}
    batch = await erp.erp.BatchGetRecords(pb.BatchGetRecordsRequest(ids=ids, **more))
    assert [one.id for one in batch.records] == ids
    search = pb.SearchRecordsRequest(filter=f"id >= {ids[0]} AND id <= {ids[-1]}", page_size=50, order_by="id", **more)
    page = await erp.erp.SearchRecords(search)
    assert [one.id for one in page.records] == ids[: len(page.records)] and page.next_page_token
    export = pb.ExportRecordsRequest(filter=search.filter, **more)
    assert [one.id async for chunk in erp.erp.ExportRecords(export) for one in chunk.records] == ids
    monkeypatch.setattr(http, "MAX_ANSWER_BYTES", 9_000)
    for _ in range(10):  # none of them opens the breaker
        with pytest.raises(Exhausted) as caught:
            await erp.erp.GetRecord(pb.GetRecordRequest(id=ids[0], read_options=ANEW, **more))
        assert caught.value.reason == "TOO_LARGE"
