"""Every RPC of ErpGateway through a real Envoy, by gRPC and by REST: answers."""

from __future__ import annotations

from typing import Any

import pytest
from sutler.erp.v1 import erp_pb2 as pb
from sutler.testing import wait_blocking
from sutler.wire import from_struct, from_value, to_struct, to_value

from tests.e2e.erp import works
from tests.e2e.erp.conftest import Up
from tests.e2e.erp.works import LINE, ORDER, PARTNER
from tests.e2e.ways import WAYS, Caller

SERVICE = pb.DESCRIPTOR.services_by_name["ErpGateway"]

pytestmark = pytest.mark.xdist_group("e2e-erp")


@pytest.mark.parametrize("way", WAYS)
def test_every_rpc(up: Up, way: str) -> None:
    call = Caller(up.address, SERVICE, way)
    main = connections_work(call, up.sandbox.url)
    models_are_described(call, main)
    made = records_work(call, main)
    records_are_found(call, main, made)
    batches_are_created(call, main)
    methods_are_called(call, main)
    changes_are_watched(call, main, made)
    subscriptions_work(call, main)
    works.groups_are_computed(call, main)
    works.batches_are_changed_and_deleted(call, main)
    works.transactions_run(call, main)
    works.exports_stream(call, main)
    works.imports_stream(call, main)
    works.customers_are_told(call, main)
    works.figures_are_told(call, main)
    all_is_deleted(call, main, made)
    assert not call.missed()


def sandbox_connection(url: str, **more: Any) -> pb.Connection:
    """Returns a connection to the sandbox as its administrator."""
    return pb.Connection(
        driver="odoo-jsonrpc",
        url=url,
        database="demo",
        username="admin",
        secret="admin",
        method_rules=[pb.MethodRule(model=ORDER, method="action_*")],
        **more,
    )


def connections_work(call: Caller, url: str) -> str:
    wanted = sandbox_connection(url, display_name="Shop")
    made = call("CreateConnection", pb.CreateConnectionRequest(connection_id=f"shop-{call.way}", connection=wanted))
    assert (made.display_name, made.secret, made.secret_update_time.seconds > 0) == ("Shop", "", True)
    change = pb.UpdateConnectionRequest(connection=pb.Connection(name=made.name, display_name="The shop"))
    change.update_mask.paths.append("display_name")
    assert call("UpdateConnection", change).display_name == "The shop"
    checked = call("CheckConnection", pb.CheckConnectionRequest(name=made.name, models=[ORDER]))
    assert checked.server_version.startswith("18.0")
    assert [(rights.model, rights.creatable) for rights in checked.rights] == [(ORDER, True)]
    got = call("GetConnection", pb.GetConnectionRequest(name=made.name))
    assert got.state == pb.Connection.STATE_HEALTHY
    listing = pb.ListConnectionsRequest(filter=f'name = "{made.name}"', order_by="create_time desc", page_size=5)
    assert [each.name for each in call("ListConnections", listing).connections] == [made.name]
    assert "odoo-jsonrpc" in [each.driver for each in call("ListDrivers", pb.ListDriversRequest()).drivers]
    return str(made.name)


def models_are_described(call: Caller, main: str) -> None:
    listing = pb.ListModelsRequest(parent=main, filter='model = "sale.*"', order_by="model desc", page_size=1)
    assert [each.model for each in call("ListModels", listing).models] == ["sale.order.line"]
    request = pb.DescribeModelRequest(connection=main, model=ORDER, fields=["partner_id.country_id.code", "state"])
    for binding in range(2):
        found = call("DescribeModel", request, binding)
        assert [each.field for each in found.fields] == ["partner_id.country_id.code", "state"]
        assert found.rights.writable


def records_work(call: Caller, main: str) -> pb.Record:
    at = {"connection": main, "model": PARTNER}
    values = to_struct({"name": f"Élan & Söhne {call.way}", "email": "a+b@example.com", "category_id": []})
    made = call("CreateRecord", pb.CreateRecordRequest(**at, values=values, fields=["name", "email"]))
    assert from_struct(made.values)["email"] == "a+b@example.com"
    got = call("GetRecord", pb.GetRecordRequest(**at, id=made.id, fields=["name", "email"]))
    assert (got.values, got.etag) == (made.values, made.etag)
    change = to_struct({"email": None, "partner_latitude": 1.5})
    request = pb.UpdateRecordRequest(**at, id=made.id, values=change, etag=got.etag, fields=["email"])
    changed = call("UpdateRecord", request)
    assert from_struct(changed.values)["email"] is None
    return call("GetRecord", pb.GetRecordRequest(**at, id=made.id, fields=["name", "partner_latitude"]))  # type: ignore[no-any-return]


def records_are_found(call: Caller, main: str, made: pb.Record) -> None:
    at = {"connection": main, "model": PARTNER}
    name = from_struct(made.values)["name"]
    wanted = f'name = "{name}"'
    for binding in range(2):
        batch = pb.BatchGetRecordsRequest(**at, ids=[made.id, 10, 99_999_999], fields=["name"], allow_missing=True)
        found = call("BatchGetRecords", batch, binding)
        assert ([each.id for each in found.records], list(found.missing_ids)) == ([made.id, 10], [99_999_999])
        search = pb.SearchRecordsRequest(**at, filter=wanted, fields=["name"], order_by="name desc", include_total=True)
        found = call("SearchRecords", search, binding)
        assert ([each.id for each in found.records], found.total_size) == ([made.id], 1)
        names = call("SearchNames", pb.SearchNamesRequest(**at, query=name), binding)
        assert [each.id for each in names.records] == [made.id]
        assert call("CountRecords", pb.CountRecordsRequest(**at, filter=wanted), binding).count == 1
    by_domain = pb.SearchRecordsRequest(**at, domain=to_value([["id", "=", made.id]]).list_value)
    assert [each.id for each in call("SearchRecords", by_domain, 1 if call.way == "rest" else 0).records] == [made.id]


def batches_are_created(call: Caller, main: str) -> None:
    rows = [pb.RecordInput(values=to_struct({"name": f"{call.way} {number}"})) for number in range(3)]
    request = pb.BatchCreateRecordsRequest(connection=main, model=PARTNER, rows=rows, fields=["name"])
    found = call("BatchCreateRecords", request).records
    assert [from_struct(each.values)["name"] for each in found] == [f"{call.way} {number}" for number in range(3)]


def an_order(call: Caller, main: str) -> int:
    values = to_struct({"partner_id": 10, "order_line": {"create": [LINE]}})
    return int(call("CreateRecord", pb.CreateRecordRequest(connection=main, model=ORDER, values=values)).id)


def methods_are_called(call: Caller, main: str) -> None:
    order = an_order(call, main)
    request = pb.CallMethodRequest(connection=main, model=ORDER, method="action_confirm", record_ids=[order])
    assert from_value(call("CallMethod", request).result) is True
    got = call("GetRecord", pb.GetRecordRequest(connection=main, model=ORDER, id=order, fields=["state"]))
    assert from_struct(got.values) == {"state": "sale"}


def changes_are_watched(call: Caller, main: str, made: pb.Record) -> None:
    for binding in range(2 if call.way == "rest" else 1):
        request = pb.WatchRecordsRequest(
            connection=main, model=PARTNER, filter=f'name = "{from_struct(made.values)["name"]}"', fields=["color"]
        )
        with call.stream("WatchRecords", request, binding) as answers:
            first = next(answers)
            assert first.resume_token and not first.changes
            values = to_struct({"color": binding + 1})
            call("UpdateRecord", pb.UpdateRecordRequest(connection=main, model=PARTNER, id=made.id, values=values))
            changes = list[pb.RecordChange]()
            while not changes:
                changes = list(next(answers).changes)
        [change] = changes
        assert (change.id, [each.field for each in change.changes]) == (made.id, ["color"])
        request.resume_token = first.resume_token
        assert call("WatchRecords", request, binding).changes[0].change_id == change.change_id


def subscriptions_work(call: Caller, main: str) -> None:
    wanted = pb.Subscription(model=ORDER, fields=["state", "partner_id.name"])
    request = pb.CreateSubscriptionRequest(parent=main, subscription_id="orders", subscription=wanted)
    made = call("CreateSubscription", request)
    assert (made.name, list(made.fields)) == (f"{main}/subscriptions/orders", list(wanted.fields))

    def active() -> bool:
        got = call("GetSubscription", pb.GetSubscriptionRequest(name=made.name))
        return bool(got.state == pb.Subscription.STATE_ACTIVE)

    wait_blocking(active, 20)
    change = pb.UpdateSubscriptionRequest(subscription=pb.Subscription(name=made.name, disabled=True))
    change.update_mask.paths.append("disabled")
    assert call("UpdateSubscription", change).state == pb.Subscription.STATE_STOPPED
    listing = pb.ListSubscriptionsRequest(parent=main, filter='model = "sale.*"', page_size=1)
    assert [each.name for each in call("ListSubscriptions", listing).subscriptions] == [made.name]
    call("DeleteSubscription", pb.DeleteSubscriptionRequest(name=made.name))
    assert not call("ListSubscriptions", listing).subscriptions


def all_is_deleted(call: Caller, main: str, made: pb.Record) -> None:
    call("DeleteRecord", pb.DeleteRecordRequest(connection=main, model=PARTNER, id=made.id))
    assert (
        call("CountRecords", pb.CountRecordsRequest(connection=main, model=PARTNER, filter=f"id = {made.id}")).count
        == 0
    )
    call("DeleteConnection", pb.DeleteConnectionRequest(name=main, force=True))
    assert not call("ListConnections", pb.ListConnectionsRequest(filter=f'name = "{main}"')).connections
