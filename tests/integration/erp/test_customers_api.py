"""Customers with orders and totals, through a real channel."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.auth import make_token
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Invalid, NotFound, PermissionDenied
from sutler.testing import serve
from sutler.wire import from_struct

from services.erp.app import app
from services.erp.customers import order_reading
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, connect, gateway
from tests.integration.erp.servers import Proxy


def partner(sandbox: SandboxProcess, name: str, **values: Any) -> int:
    [made] = sandbox.call("res.partner", "create", [{"name": name, **values}])
    return int(made)


def order(sandbox: SandboxProcess, customer: int, price: float, state: str = "draft", day: int = 1) -> int:
    product = sandbox.call("product.product", "search", [], limit=1)[0]
    line = [0, 0, {"product_id": product, "name": "line", "product_uom_qty": 1, "price_unit": price, "tax_id": []}]
    values = {"partner_id": customer, "date_order": f"2026-03-{day:02d} 08:00:00", "order_line": [line]}
    [made] = sandbox.call("sale.order", "create", [values])
    if state in ("sale", "cancel"):
        sandbox.call("sale.order", "action_confirm" if state == "sale" else "action_cancel", [made])
        sandbox.call("sale.order", "write", [made], {"date_order": values["date_order"]})
    return int(made)


def told(one: erp_pb2.CustomerOrders) -> tuple[Any, ...]:
    amounts = [[(m.currency_code, m.units, m.nanos) for m in sums] for sums in (one.total_amounts, one.draft_amounts)]
    return one.total_orders, amounts[0], one.draft_orders, amounts[1], one.cancelled_orders


async def test_a_customer_with_its_orders_and_those_of_its_contacts(erp: Sutler, sandbox: SandboxProcess) -> None:
    company = partner(sandbox, "Oak Hosting", is_company=True, email="info@oak.example", ref="C-7", country_id=233)
    contact = partner(sandbox, "Ann of Oak", parent_id=company, active=False)
    first = order(sandbox, company, 10.5, "sale", 1)
    second = order(sandbox, contact, 20.25, "sale", 2)
    draft, _ = order(sandbox, company, 5.0, day=3), order(sandbox, company, 99.0, "cancel", 4)
    request = erp_pb2.GetCustomerRequest(connection=MAIN, id=company, fields=["city", "parent_id"], order_limit=3)
    found = await erp.erp.GetCustomer(request)
    assert (found.display_name, found.email, found.reference, found.company) == (
        "Oak Hosting",
        "info@oak.example",
        "C-7",
        True,
    )
    assert len(found.country_code) == 2
    assert from_struct(found.values) == {"city": None, "parent_id": None}
    assert found.etag
    assert found.source.origin == erp_pb2.DataSource.ORIGIN_ERP
    currency = found.orders.total_amounts[0].currency_code
    assert told(found.orders) == (2, [(currency, 30, 750_000_000)], 1, [(currency, 5, 0)], 1)
    assert found.orders.truncated
    states = erp_pb2.Order
    assert [(one.id, one.state) for one in found.orders.orders][1:] == [
        (draft, states.STATE_DRAFT),
        (second, states.STATE_CONFIRMED),
    ]
    assert found.orders.orders[2].customer_id == contact
    lists = erp_pb2.ListCustomerOrdersRequest(parent=MAIN, customer_ids=[contact, company, contact], order_limit=1)
    rows = (await erp.erp.ListCustomerOrders(lists)).customer_orders
    assert [(row.customer_id, row.total_orders) for row in rows] == [(contact, 1), (company, 2), (contact, 1)]
    lists.min_order_time.CopyFrom(Timestamp(seconds=1772352000))  # 2026-03-01T08:00Z
    lists.max_order_time.CopyFrom(Timestamp(seconds=1772438400))
    rows = (await erp.erp.ListCustomerOrders(lists)).customer_orders
    assert [(row.customer_id, [one.id for one in row.orders]) for row in rows][1] == (company, [first])
    with pytest.raises(NotFound):
        await erp.erp.GetCustomer(erp_pb2.GetCustomerRequest(connection=MAIN, id=987_654_321))


async def test_orders_of_many_years_are_read_in_parts(
    sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_reading, "PAGE", 2)
    lossy, url = proxy
    company = partner(sandbox, "Yew", is_company=True)
    contact = partner(sandbox, "Ann of Yew", parent_id=company)
    newest = order(sandbox, company, 1.0, "sale", 28)
    later = [order(sandbox, one, 1.0, "sale", day) for day, one in enumerate([contact, company, contact, contact], 1)]
    async with gateway(sqlite) as client:
        await connect(client, url)
        request = erp_pb2.GetCustomerRequest(connection=MAIN, id=company, order_limit=2)
        await client.erp.GetCustomer(request)  # learns the models
        lossy.calls.clear()
        found = (await client.erp.GetCustomer(request)).orders
        assert [one.id for one in found.orders] == [newest, later[-1]]
        assert (found.truncated, found.total_orders, found.total_amounts[0].units) == (True, 5, 5)
        assert (lossy.count("read"), lossy.count("search_read")) == (1, 3)
        rows = erp_pb2.ListCustomerOrdersRequest(parent=MAIN, customer_ids=[contact, company], order_limit=1)
        each = (await client.erp.ListCustomerOrders(rows)).customer_orders
        assert [(one.total_orders, one.orders[0].id) for one in each] == [(3, later[-1]), (5, newest)]


async def test_three_calls_however_many_customers(
    sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    lossy, url = proxy
    company = partner(sandbox, "Elm", is_company=True)
    child = partner(sandbox, "Child", parent_id=partner(sandbox, "Between", parent_id=company))
    order(sandbox, child, 1.0, "sale")
    ids = [company, *(partner(sandbox, f"Many {number}") for number in range(40))]
    async with gateway(sqlite) as client:
        await connect(client, url)
        request = erp_pb2.ListCustomerOrdersRequest(parent=MAIN, customer_ids=ids)
        await client.erp.ListCustomerOrders(request)  # learns the models
        lossy.calls.clear()
        first = await client.erp.ListCustomerOrders(request)
        assert first.customer_orders[0].total_orders == 1
        assert len(lossy.calls) == 3
        lossy.calls.clear()
        search = erp_pb2.SearchCustomersRequest(connection=MAIN, query="Many", page_size=50)
        assert len((await client.erp.SearchCustomers(search)).customers) >= 40
        assert len(lossy.calls) <= 3


async def test_a_search_gives_exact_matches_first_and_each_customer_once(erp: Sutler, sandbox: SandboxProcess) -> None:
    names = ["aa_quark 1", "ab_quark 2", "ac_quark 3", "zz_quark"]
    made = {name: partner(sandbox, name) for name in names}
    made["by mail"] = partner(sandbox, "Zoe", email="ZZ_Quark")
    hidden = partner(sandbox, "zz_quark", active=False)
    partner(sandbox, "zzXquark")  # an underscore is no wildcard
    for query, wanted in (
        ("_quark", [made[name] for name in names] + [made["by mail"]]),
        ("zz_QUARK", [made["by mail"], made["zz_quark"]]),
    ):
        for size in (1, 2, 3, 50):
            found, token = list[int](), "start"
            while token:
                request = erp_pb2.SearchCustomersRequest(connection=MAIN, query=query, page_size=size)
                request.page_token = "" if token == "start" else token
                answer = await erp.erp.SearchCustomers(request)
                found += [one.id for one in answer.customers]
                token = answer.next_page_token
            assert sorted(found) == sorted(wanted), (query, size)
    exact = erp_pb2.SearchCustomersRequest(connection=MAIN, query="zz_quark", page_size=1, show_archived=True)
    assert len((await erp.erp.SearchCustomers(exact)).customers) == 1
    exact.page_size = 50
    assert hidden in [one.id for one in (await erp.erp.SearchCustomers(exact)).customers]
    partner(sandbox, "a copy of Zed")
    zed = partner(sandbox, "Zed")
    best = erp_pb2.SearchCustomersRequest(connection=MAIN, query="zed", page_size=1)
    assert [one.id for one in (await erp.erp.SearchCustomers(best)).customers] == [zed]


async def test_lists_filter_and_order_by_the_fields_of_customers(erp: Sutler, sandbox: SandboxProcess) -> None:
    ids = [partner(sandbox, f"list {n}", ref=f"L-{n}", is_company=n % 2 == 0) for n in range(4)]
    gone = partner(sandbox, "list 9", ref="L-9", active=False)

    async def listed(filter: str, **more: Any) -> list[int]:
        request = erp_pb2.ListCustomerOrdersRequest(parent=MAIN, filter=filter, **more)
        return [one.customer_id for one in (await erp.erp.ListCustomerOrders(request)).customer_orders]

    assert await listed('reference = "L-*"') == ids
    assert await listed('reference = "L-*" AND company = true', order_by="display_name desc") == [ids[2], ids[0]]
    assert await listed('reference = "L-*" AND archived = true') == [gone]
    assert await listed('reference = "L-*" AND NOT archived = true') == ids
    assert await listed("", customer_ids=[ids[1], ids[3], ids[0]], order_by="reference desc") == [
        ids[3],
        ids[1],
        ids[0],
    ]
    for broken in ({"filter": "colour = 1"}, {"filter": "id = 1", "customer_ids": [1]}, {"order_by": "orders"}):
        with pytest.raises(Invalid):
            await erp.erp.ListCustomerOrders(erp_pb2.ListCustomerOrdersRequest(parent=MAIN, **broken))
    with pytest.raises(NotFound):
        await listed("", customer_ids=[ids[0], 987_654_321])


async def test_the_permission_is_for_the_drivers_model(sqlite: str, sandbox: SandboxProcess) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    one = partner(sandbox, "guarded")
    plain = erp_pb2.GetCustomerRequest(connection=MAIN, id=one)
    leading = erp_pb2.GetCustomerRequest(connection=MAIN, id=one, fields=["country_id.code"])
    async with serve(app, Settings, data=sqlite, secret_keys=KEY, auth_secret=secret) as (admin, _):
        await connect(admin, sandbox.url)

        async def refused(request: erp_pb2.GetCustomerRequest, *permissions: str) -> str:
            bearer = make_token(secret, "user:x", permissions=permissions)
            try:
                await admin.erp.GetCustomer(request, metadata={"authorization": f"Bearer {bearer}"})
            except PermissionDenied as error:
                return error.metadata["target"] or "all"
            return ""

        assert await refused(plain, "erp.customers.get:main/res.partner") == ""
        assert await refused(plain, "erp.customers.get:main/*") == ""
        assert await refused(plain, "erp.customers.get:main/sale.order") == "main/res.partner"
        assert await refused(plain, "erp.customers.get:other/*") == "main/res.partner"
        assert await refused(leading, "erp.customers.get:main/res.partner") == "main/res.country"
