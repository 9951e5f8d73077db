"""Customers with orders and totals from a real Tryton."""

from __future__ import annotations

from pathlib import Path

import pytest
from sutler.erp.v1 import erp_pb2
from sutler.wire import duration

from tests.conformance.tryton.installing import DATABASE, PASSWORD
from tests.conformance.tryton.processes import started
from tests.conformance.tryton.template import decimal
from tests.integration.erp.conftest import MAIN, connect, gateway


@pytest.mark.timeout(300)
@pytest.mark.parametrize("version", ["7.0", "8.2"])
async def test_customers_of_tryton(sqlite: str, tmp_path: Path, version: str) -> None:
    with started(version, tmp_path) as server:
        [country] = server.call("country.country", "create", [{"name": "Belgium", "code": "BE"}])
        addresses = [{"street": "nowhere"}, {"street": "Rue 1", "country": country}]
        identifiers = [{"type": "eu_vat", "code": "BE0897290877"}]
        party, other = server.call(
            "party.party",
            "create",
            [
                {
                    "name": "Ash Hosting",
                    "code": "ASH",
                    "addresses": [["create", addresses]],
                    "identifiers": [["create", identifiers]],
                },
                {"name": "Beech Labs", "code": "BEE", "addresses": [["create", [{"street": "unknown"}]]]},
            ],
        )
        [product] = server.call("product.product", "search", [], 0, 1)
        [company] = server.call("company.company", "search", [], 0, 1)
        [unit] = server.call("product.uom", "search", [["symbol", "=", "u"]], 0, 1)
        line = {"type": "line", "product": product, "quantity": 2.0, "unit": unit, "unit_price": decimal("12.50")}
        [sale] = server.call(
            "sale.sale",
            "create",
            [{"party": party, "company": company, "currency": 1, "lines": [["create", [line]]]}],
            company=company,
        )
        async with gateway(sqlite) as client:
            never = erp_pb2.CachePolicy(model="currency.currency", record_ttl=duration(0))
            user = {"driver": "tryton", "database": DATABASE, "username": "admin", "secret": PASSWORD}
            await connect(client, server.url, cache_policies=[never], **user)
            found = await client.erp.GetCustomer(erp_pb2.GetCustomerRequest(connection=MAIN, id=party))
            assert (found.display_name, found.reference) == ("Ash Hosting", "ASH")
            assert (found.tax_id, found.country_code, found.company) == ("BE0897290877", "BE", False)
            [order] = found.orders.orders
            assert (order.id, order.state, found.orders.draft_orders) == (sale, erp_pb2.Order.STATE_DRAFT, 1)
            [amount] = found.orders.draft_amounts
            assert (amount.currency_code, amount.units, amount.nanos) == ("EUR", 25, 0)
            server.call("currency.currency", "write", [1], {"code": "XEU"})
            found = await client.erp.GetCustomer(erp_pb2.GetCustomerRequest(connection=MAIN, id=party))
            assert found.orders.draft_amounts[0].currency_code == "XEU"
            search = erp_pb2.SearchCustomersRequest(connection=MAIN, query="ash hosting")
            assert [one.id for one in (await client.erp.SearchCustomers(search)).customers] == [party]
            lists = erp_pb2.ListCustomerOrdersRequest(parent=MAIN, filter='reference = "ASH"')
            rows = (await client.erp.ListCustomerOrders(lists)).customer_orders
            assert [(row.customer_id, len(row.orders)) for row in rows] == [(party, 1)]
            lists.filter = 'country_code = "BE" AND reference = "ASH"'
            rows = (await client.erp.ListCustomerOrders(lists)).customer_orders
            assert [row.customer_id for row in rows] == [party]
            search.query = "beech labs"
            [none] = (await client.erp.SearchCustomers(search)).customers
            assert (none.id, none.tax_id, none.country_code) == (other, "", "")
