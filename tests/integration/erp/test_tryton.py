"""A real Tryton behind a real gateway: queries, etags, lost answers, orders that become events, customers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Conflict, SutlerError
from sutler.wire import duration, from_struct, to_struct

from tests.conformance.tryton.installing import PASSWORD
from tests.conformance.tryton.processes import INSTALLING_SECONDS, TrytonProcess, started
from tests.conformance.tryton.template import decimal
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.feeds import subscribe, until
from tests.integration.erp.requests import create, entries, request_id, update
from tests.integration.erp.rules import Recorder, recording
from tests.integration.erp.servers import Proxy, serving

pytestmark = pytest.mark.timeout(INSTALLING_SECONDS)

RULES = [erp_pb2.MethodRule(model="sale.sale", method="*")]
FRESH = erp_pb2.ReadOptions(max_staleness=duration(0))


@pytest.fixture(scope="module", params=["7.0", "8.2"])
def tryton(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrytonProcess]:
    with started(request.param, tmp_path_factory.mktemp("tryton")) as server:
        yield server


async def join(client: Sutler, url: str) -> None:
    """Makes a connection to the Tryton at an address."""
    connection = {"driver": "tryton", "username": "admin", "secret": PASSWORD, "method_rules": RULES}
    quick = erp_pb2.RetryPolicy(initial_backoff=duration(0.01))
    await connect(client, url, **connection, retry_policy=quick, driver_options=to_struct({"single_writer": True}))


@pytest.fixture
async def client(sqlite: str, tryton: TrytonProcess) -> AsyncIterator[Sutler]:
    async with gateway(sqlite) as client:
        await join(client, tryton.url)
        yield client


def a_sale(tryton: TrytonProcess, quantity: int = 3, state: str = "") -> tuple[int, int]:
    """Makes a customer with a sale, and takes it to a state; returns both ids."""
    address = {"city": "Gent"}
    [party] = tryton.call("party.party", "create", [{"name": f"C {uuid4().hex}", "addresses": [["create", [address]]]}])
    [owned] = tryton.call("party.party", "read", [party], ["addresses"])
    [currency] = tryton.call("currency.currency", "search", [["code", "=", "EUR"]])
    [product] = tryton.call("product.product", "search_read", [], 0, 1, None, ["id", "default_uom"], company=1)
    line = {"type": "line", "product": product["id"], "quantity": quantity, "unit": product["default_uom"]}
    values = {
        "company": 1, "party": party, "currency": currency, "invoice_method": "manual", "shipment_method": "manual",
        "invoice_address": owned["addresses"][0], "shipment_address": owned["addresses"][0],
        "lines": [["create", [line | {"unit_price": decimal("12.50")}]]],
    }  # fmt: skip
    [sale] = tryton.call("sale.sale", "create", [values], company=1)
    for step in {"": (), "quotation": ("quote",), "confirmed": ("quote", "confirm"), "cancelled": ("cancel",)}[state]:
        tryton.call("sale.sale", step, [sale], company=1)
    return party, sale


async def get(client: Sutler, model: str, record_id: int, *fields: str) -> erp_pb2.Record:
    return await client.erp.GetRecord(
        erp_pb2.GetRecordRequest(connection=MAIN, model=model, id=record_id, fields=fields, read_options=FRESH)
    )


async def test_checking_and_describing(client: Sutler, tryton: TrytonProcess) -> None:
    checked = await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN, models=["sale.sale"]))
    assert checked.server_version.startswith(tryton.version)
    assert checked.user.username == "admin"
    drivers = (await client.erp.ListDrivers(erp_pb2.ListDriversRequest())).drivers
    [driver] = [one for one in drivers if one.driver == "tryton"]
    assert erp_pb2.Driver.CAPABILITY_ATOMIC_ETAG in driver.capabilities
    assert erp_pb2.Driver.CAPABILITY_CREATE_KEYS not in driver.capabilities


async def test_dotted_fields_and_filters(client: Sutler, tryton: TrytonProcess) -> None:
    party, sale = a_sale(tryton)
    found = await client.erp.SearchRecords(
        erp_pb2.SearchRecordsRequest(
            connection=MAIN,
            model="sale.sale",
            filter=f'party = {party} AND NOT (lines.quantity = 4 OR state = "done") AND party.addresses.city = "Gen*"',
            fields=["state", "party.name", "total_amount", "currency.code", "lines.product.rec_name", "lines.quantity"],
        )
    )
    [record] = found.records
    values = from_struct(record.values)
    assert (record.id, values["state"], values["total_amount"]) == (sale, "draft", "37.50")
    assert values["party"]["name"].startswith("C ")
    assert values["currency"]["code"] == "EUR"
    [line] = values["lines"]
    assert (line["product"]["rec_name"], line["quantity"]) == ("Small machine", 3.0)
    with pytest.raises(SutlerError) as caught:
        await client.erp.CreateRecord(create({"name": "x"}, "party.party", external_id="shop.anna"))
    assert caught.value.reason == "NOT_IMPLEMENTED"


async def test_an_etag_is_checked_within_the_write(sqlite: str, tryton: TrytonProcess) -> None:
    """Another client writes after the gateway has compared the etag and before it writes."""
    party, _ = a_sale(tryton)
    proxy = Proxy(tryton.url)
    async with serving(proxy.answer) as url, gateway(sqlite) as client:
        await join(client, url)
        read = await get(client, "party.party", party, "name")
        written = await client.erp.UpdateRecord(update(party, {"name": "mine"}, "party.party", etag=read.etag))
        assert written.id == party
        with pytest.raises(Conflict) as caught:
            await client.erp.UpdateRecord(update(party, {"name": "again"}, "party.party", etag=read.etag))
        assert caught.value.reason == "ETAG_MISMATCH"
        fresh = await get(client, "party.party", party, "name")

        def foreign(reply: Any) -> Any:
            if tryton.version == "7.0":  # tells versions in whole seconds on SQLite
                time.sleep(1.1)
            tryton.call("party.party", "write", [party], {"name": "theirs"})
            return reply

        reads = proxy.count("search_read")
        proxy.altered["search_read"] = [lambda reply: reply, foreign]
        with pytest.raises(Conflict) as caught:
            await client.erp.UpdateRecord(update(party, {"name": "lost"}, "party.party", etag=fresh.etag))
        assert caught.value.reason == "ETAG_MISMATCH"
        assert proxy.count("search_read") == reads + 2, "the version, then the values"
        assert proxy.count("write") == 2, "the write was asked for, and refused by Tryton"
    assert tryton.call("party.party", "read", [party], ["name"])[0]["name"] == "theirs"


async def test_a_create_whose_answer_is_lost_is_not_repeated(sqlite: str, tryton: TrytonProcess) -> None:
    proxy, name = Proxy(tryton.url), uuid4().hex
    async with serving(proxy.answer) as url, gateway(sqlite) as client:
        await join(client, url)
        request = create({"name": name}, "party.party", request_id=request_id())
        proxy.lose("create")
        for _ in range(2):
            with pytest.raises(Conflict) as caught:
                await client.erp.CreateRecord(request)
            assert caught.value.reason == "OUTCOME_UNKNOWN"
        [party] = tryton.call("party.party", "search", [["name", "=", name]])
        assert [state for state, _ in entries(sqlite)] == ["OUTCOME_UNKNOWN"]
        proxy.lose("write")
        read = await get(client, "party.party", party, "name")
        await client.erp.UpdateRecord(update(party, {"name": f"{name}2"}, "party.party", etag=read.etag))
        assert proxy.count("write") == 1, "a look tells that the write was done"


def step(method: str, sale: int) -> erp_pb2.CallMethodRequest:
    return erp_pb2.CallMethodRequest(
        connection=MAIN, model="sale.sale", method=method, record_ids=[sale], request_id=request_id()
    )


async def test_methods_take_an_order_through_its_states(client: Sutler, tryton: TrytonProcess) -> None:
    _, sale = a_sale(tryton)
    for method, state in (("quote", "quotation"), ("confirm", "processing")):
        await client.erp.CallMethod(step(method, sale))
        assert from_struct((await get(client, "sale.sale", sale, "state")).values) == {"state": state}
    with pytest.raises(SutlerError) as caught:
        await client.erp.DeleteRecord(erp_pb2.DeleteRecordRequest(connection=MAIN, model="sale.sale", id=sale))
    assert caught.value.reason == "ERP_RULE_VIOLATED"


async def test_a_relation_to_nothing_is_read_without_a_title(client: Sutler, tryton: TrytonProcess) -> None:
    """On SQLite nothing keeps references whole; one that is not must not hide the records beside it."""
    party, sale = a_sale(tryton)
    tryton.call("party.party", "write", [party], {"lang": 99_999})
    assert from_struct((await get(client, "party.party", party, "lang")).values) == {"lang": {"id": 99_999}}
    with pytest.raises(SutlerError) as caught:
        await get(client, "sale.sale", sale, "party_lang", "total_amount")
    assert caught.value.reason == "ERP_RULE_VIOLATED", "it is there, and Tryton cannot compute what was asked for"
    tryton.call("party.party", "write", [party], {"lang": None})


@pytest.mark.parametrize(
    ("context", "field"),
    [
        ({"language": "xx-YY"}, "context.language"),
        ({"company_ids": [1, 2]}, "context.company_ids"),
        ({"company_ids": [7]}, "context.company_ids"),
    ],
)
async def test_a_context_that_tryton_does_not_know_is_refused(
    client: Sutler, tryton: TrytonProcess, context: dict[str, Any], field: str
) -> None:
    def request(context: erp_pb2.ErpContext) -> erp_pb2.SearchRecordsRequest:
        return erp_pb2.SearchRecordsRequest(connection=MAIN, model="party.party", context=context, page_size=1)

    known = erp_pb2.ErpContext(language="fr", company_ids=[1])
    assert (await client.erp.SearchRecords(request(known))).records
    with pytest.raises(SutlerError) as caught:
        await client.erp.SearchRecords(request(erp_pb2.ErpContext(**context)))
    assert (caught.value.reason, caught.value.metadata["field"]) == ("CONTEXT_INVALID", field)


async def test_a_session_that_ended_is_renewed(client: Sutler, tryton: TrytonProcess) -> None:
    party, _ = a_sale(tryton)
    await get(client, "party.party", party, "name")
    with_sessions = tryton.call("res.user", "read", [1], ["sessions"])[0]["sessions"]
    assert with_sessions
    tryton.call("res.user", "write", [1], {"password": PASSWORD})  # ends all sessions
    tryton.forget()
    assert (await get(client, "party.party", party, "name")).id == party


async def test_orders_become_events(sqlite: str, tryton: TrytonProcess) -> None:
    recorder: Recorder = Recorder()
    async with recording(recorder) as address, gateway(sqlite, rule_address=address) as client:
        await join(client, tryton.url)
        await subscribe(client, model="sale.sale")
        _, sale = a_sale(tryton)
        await until(lambda: recorder.types(sale) == ["order.created"])
        for step in ("quote", "confirm"):
            tryton.call("sale.sale", step, [sale], company=1)
        await until(lambda: "order.confirmed" in recorder.types(sale))
        assert recorder.types(sale).count("order.confirmed") == 1
        _, other = a_sale(tryton, state="cancelled")
        await until(lambda: "order.cancelled" in recorder.types(other))


async def test_customers_and_their_orders(client: Sutler, tryton: TrytonProcess) -> None:
    party, sale = a_sale(tryton, state="confirmed")
    told = await client.erp.ListCustomerOrders(erp_pb2.ListCustomerOrdersRequest(parent=MAIN, customer_ids=[party]))
    [customer] = told.customer_orders
    [order] = customer.orders
    assert order.id == sale
    [amount] = customer.total_amounts
    assert (amount.currency_code, amount.units, amount.nanos) == ("EUR", 37, 500_000_000)
    name = tryton.call("party.party", "read", [party], ["name"])[0]["name"]
    found = await client.erp.SearchCustomers(erp_pb2.SearchCustomersRequest(connection=MAIN, query=name.upper()))
    assert [one.id for one in found.customers] == [party]


async def test_it_may_be_killed_and_come_back(tmp_path: Path, sqlite: str) -> None:
    """While it is down calls say so, and never that something does not exist."""
    async with gateway(sqlite) as client:
        with started("8.2", tmp_path) as server:
            await join(client, server.url)
            assert (await get(client, "party.party", 1, "name")).id == 1
            server.stop(9)
            with pytest.raises(SutlerError) as caught:
                await get(client, "party.party", 1, "name")
            assert caught.value.code.name == "UNAVAILABLE"
