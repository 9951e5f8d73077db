"""Values that the ERP computes of other records: writes of those through the gateway leave none of them in a cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.wire import from_struct, to_struct

from services.erp.adapters.tryton.fields import to_schema
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.feeds import an_order
from tests.integration.erp.requests import create, update

NEAR, FRESH = erp_pb2.DataSource.ORIGIN_NEAR_CACHE, erp_pb2.DataSource.ORIGIN_ERP


@pytest.fixture
async def caching(sqlite: str, sandbox: SandboxProcess) -> AsyncIterator[Sutler]:
    async with gateway(sqlite, alone=True) as client:
        await connect(client, sandbox.url)
        yield client


async def order(client: Sutler, order_id: int, *fields: str) -> tuple[dict[str, Any], int]:
    found = await client.erp.GetRecord(
        erp_pb2.GetRecordRequest(connection=MAIN, model="sale.order", id=order_id, fields=fields)
    )
    return from_struct(found.values), found.source.origin


async def test_a_total_follows_a_write_of_its_lines(caching: Sutler, sandbox: SandboxProcess) -> None:
    mine, other = an_order(sandbox), an_order(sandbox)
    [line] = sandbox.call("sale.order.line", "search", [["order_id", "=", mine]])
    search = erp_pb2.SearchRecordsRequest(
        connection=MAIN, model="sale.order", filter=f"id = {mine}", fields=["amount_total"]
    )
    before, _ = await order(caching, mine, "amount_total")
    await order(caching, other, "name")
    await caching.erp.SearchRecords(search)
    assert await order(caching, mine, "amount_total") == (before, NEAR)

    await caching.erp.UpdateRecord(update(line, {"product_uom_qty": 50}, "sale.order.line"))
    after, origin = await order(caching, mine, "amount_total")
    assert origin == FRESH
    [told] = sandbox.call("sale.order", "read", [mine], ["amount_total"])
    assert float(after["amount_total"]) == told["amount_total"]
    assert after != before
    [found] = (await caching.erp.SearchRecords(search)).records
    assert from_struct(found.values) == after
    assert (await order(caching, other, "name"))[1] == NEAR, "what is made of no line stays"


async def test_a_new_line_shows_in_its_order(caching: Sutler, sandbox: SandboxProcess) -> None:
    mine = an_order(sandbox)
    before, _ = await order(caching, mine, "order_line")
    made = await caching.erp.CreateRecord(create({"order_id": mine, "product_id": 1}, "sale.order.line"))
    after, _ = await order(caching, mine, "order_line")
    assert [one["id"] for one in after["order_line"]] == [*(one["id"] for one in before["order_line"]), made.id]


async def test_the_totals_of_a_customer_follow_a_write_of_a_line(caching: Sutler, sandbox: SandboxProcess) -> None:
    [customer] = sandbox.call("res.partner", "create", [{"name": "totals"}])
    line = [0, 0, {"product_id": 1, "product_uom_qty": 1}]
    [mine] = sandbox.call("sale.order", "create", [{"partner_id": customer, "order_line": [line]}])
    [only] = sandbox.call("sale.order.line", "search", [["order_id", "=", mine]])
    request = erp_pb2.GetCustomerRequest(connection=MAIN, id=customer)
    before = await caching.erp.GetCustomer(request)
    assert (await caching.erp.GetCustomer(request)).source.origin == NEAR
    await caching.erp.UpdateRecord(update(only, {"product_uom_qty": 2}, "sale.order.line"))
    after = await caching.erp.GetCustomer(request)
    assert after.orders.draft_amounts[0].units == 2 * before.orders.draft_amounts[0].units


async def test_a_dotted_total_follows_too(caching: Sutler, sandbox: SandboxProcess) -> None:
    mine = an_order(sandbox)
    first, _ = await order(caching, mine, "partner_id.name", "order_line.order_id.amount_total")
    await caching.erp.CreateRecord(create({"order_id": mine, "product_id": 1, "product_uom_qty": 9}, "sale.order.line"))
    again, _ = await order(caching, mine, "partner_id.name", "order_line.order_id.amount_total")
    assert len(again["order_line"]) == len(first["order_line"]) + 1


def test_what_tryton_computes_is_made_of_lines() -> None:
    told = {
        "lines": {"type": "one2many", "relation": "sale.line", "searchable": True},
        "comment": {"type": "text", "searchable": True},
        "total_amount": {"type": "numeric", "searchable": False},
    }
    fields = to_schema("sale.sale", told).fields
    made_of = {name: set(fields[name].made_of) for name in told}
    assert made_of == {"lines": {"sale.line"}, "comment": set(), "total_amount": {"sale.line"}}


async def test_values_that_were_written_stay_so(caching: Sutler, sandbox: SandboxProcess) -> None:
    """A write of one partner leaves the others where they are kept."""
    one, two = sandbox.call("res.partner", "create", [{"name": "one"}, {"name": "two"}])
    request = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=two, fields=["name", "country_id.code"])
    await caching.erp.GetRecord(request)
    await caching.erp.UpdateRecord(
        erp_pb2.UpdateRecordRequest(connection=MAIN, model="res.partner", id=one, values=to_struct({"name": "1"}))
    )
    assert (await caching.erp.GetRecord(request)).source.origin == NEAR
