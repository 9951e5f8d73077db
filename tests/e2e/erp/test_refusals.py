"""Every RPC of ErpGateway through a real Envoy, by gRPC and by REST: one error each, in the documented form."""

from __future__ import annotations

import pytest
from google.rpc import code_pb2
from sutler.erp.v1 import erp_pb2 as pb
from sutler.wire import to_struct

from tests.e2e.erp.conftest import Up
from tests.e2e.erp.test_every_rpc import SERVICE, sandbox_connection
from tests.e2e.erp.works import ORDER, PARTNER
from tests.e2e.ways import WAYS, Caller, Sent, bindings

pytestmark = pytest.mark.xdist_group("e2e-erp")

HERE, NOWHERE = "connections/refusing", "connections/none"
AT = {"connection": HERE, "model": PARTNER}
NO_MODEL = {"connection": HERE, "model": "res.partnr"}
SUBSCRIPTION = f"{HERE}/subscriptions/orders"
NOBODY = 99_999_999

NOT_FOUND = code_pb2.NOT_FOUND, "NOT_FOUND"
MODEL_NOT_FOUND = code_pb2.NOT_FOUND, "MODEL_NOT_FOUND"
BAD_FILTER = code_pb2.INVALID_ARGUMENT, "FILTER_INVALID"
BAD_FIELD = code_pb2.INVALID_ARGUMENT, "FIELD_NOT_FOUND"
BAD_TOKEN = code_pb2.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID"
STALE = code_pb2.ABORTED, "ETAG_MISMATCH"

ROW = pb.RecordInput(values=to_struct({"name": "x", "colour": 1}))
CREATE = pb.TransactionStep(model=PARTNER, create_record=pb.CreateStep(values=to_struct({"name": "${steps.a.id}"})))

REFUSALS: dict[str, tuple[Sent, tuple[int, str]]] = {
    "GetConnection": (pb.GetConnectionRequest(name=NOWHERE), NOT_FOUND),
    "ListConnections": (pb.ListConnectionsRequest(filter="colour = 1"), BAD_FILTER),
    "CreateConnection": (
        pb.CreateConnectionRequest(connection_id="far", connection=sandbox_connection("https://erp.example.com")),
        (code_pb2.PERMISSION_DENIED, "ADDRESS_NOT_ALLOWED"),
    ),
    "UpdateConnection": (
        pb.UpdateConnectionRequest(connection=pb.Connection(name=HERE, etag='"stale"', display_name="x")),
        STALE,
    ),
    "DeleteConnection": (pb.DeleteConnectionRequest(name=HERE), (code_pb2.FAILED_PRECONDITION, "HAS_CHILDREN")),
    "GetConnectionStats": (pb.GetConnectionStatsRequest(name=f"{NOWHERE}/stats"), NOT_FOUND),
    "GetSubscription": (pb.GetSubscriptionRequest(name=f"{HERE}/subscriptions/none"), NOT_FOUND),
    "ListSubscriptions": (pb.ListSubscriptionsRequest(parent=HERE, filter="colour = 1"), BAD_FILTER),
    "CreateSubscription": (
        pb.CreateSubscriptionRequest(
            parent=HERE, subscription_id="s", subscription=pb.Subscription(model=ORDER, fields=["colour"])
        ),
        BAD_FIELD,
    ),
    "UpdateSubscription": (
        pb.UpdateSubscriptionRequest(subscription=pb.Subscription(name=SUBSCRIPTION, etag='"stale"', disabled=True)),
        STALE,
    ),
    "DeleteSubscription": (pb.DeleteSubscriptionRequest(name=SUBSCRIPTION, etag='"stale"'), STALE),
    "GetTransaction": (pb.GetTransactionRequest(name=f"{HERE}/transactions/none"), NOT_FOUND),
    "ListTransactions": (pb.ListTransactionsRequest(parent=HERE, filter="colour = 1"), BAD_FILTER),
    "GetImport": (pb.GetImportRequest(name=f"{HERE}/imports/none"), NOT_FOUND),
    "ListDrivers": (pb.ListDriversRequest(page_token="made up"), BAD_TOKEN),
    "ListModels": (pb.ListModelsRequest(parent=NOWHERE), NOT_FOUND),
    "GetRecord": (pb.GetRecordRequest(**AT, id=NOBODY), NOT_FOUND),
    "CreateRecord": (
        pb.CreateRecordRequest(connection=HERE, model=ORDER, values=to_struct({"note": "x"})),
        (code_pb2.INVALID_ARGUMENT, "VALUE_MISSING"),
    ),
    "UpdateRecord": (
        pb.UpdateRecordRequest(**AT, id=10, values=to_struct({"type": "bogus"})),
        (code_pb2.INVALID_ARGUMENT, "VALUE_INVALID"),
    ),
    "DeleteRecord": (
        pb.DeleteRecordRequest(**AT, id=10),
        (code_pb2.FAILED_PRECONDITION, "RECORD_REFERENCED"),
    ),
    "GetCustomer": (pb.GetCustomerRequest(connection=HERE, id=NOBODY), NOT_FOUND),
    "ListCustomerOrders": (pb.ListCustomerOrdersRequest(parent=HERE, filter="colour = 1"), BAD_FILTER),
    "CheckConnection": (pb.CheckConnectionRequest(name=NOWHERE), NOT_FOUND),
    "DescribeModel": (pb.DescribeModelRequest(**NO_MODEL), MODEL_NOT_FOUND),
    "BatchGetRecords": (pb.BatchGetRecordsRequest(**AT, ids=[10, NOBODY]), NOT_FOUND),
    "SearchRecords": (
        pb.SearchRecordsRequest(**AT, order_by="colour"),
        (code_pb2.INVALID_ARGUMENT, "ORDER_BY_INVALID"),
    ),
    "SearchNames": (pb.SearchNamesRequest(**AT, query="a", page_token="made up"), BAD_TOKEN),
    "CountRecords": (pb.CountRecordsRequest(**AT, filter="colour = 1"), BAD_FILTER),
    "AggregateRecords": (
        pb.AggregateRecordsRequest(**AT, groupings=[pb.Grouping(field="colour")]),
        BAD_FIELD,
    ),
    "BatchCreateRecords": (pb.BatchCreateRecordsRequest(**NO_MODEL, rows=[ROW]), MODEL_NOT_FOUND),
    "BatchUpdateRecords": (
        pb.BatchUpdateRecordsRequest(**NO_MODEL, rows=[pb.RecordUpdate(id=10, values=ROW.values)]),
        MODEL_NOT_FOUND,
    ),
    "BatchDeleteRecords": (pb.BatchDeleteRecordsRequest(**AT, ids=[NOBODY]), NOT_FOUND),
    "UpsertRecords": (pb.UpsertRecordsRequest(**NO_MODEL, rows=[ROW], key_fields=["name"]), MODEL_NOT_FOUND),
    "CallMethod": (
        pb.CallMethodRequest(**AT, method="unlink", record_ids=[10]),
        (code_pb2.PERMISSION_DENIED, "METHOD_NOT_ALLOWED"),
    ),
    "ExportRecords": (
        pb.ExportRecordsRequest(**AT, resume_token="made up"),
        (code_pb2.INVALID_ARGUMENT, "RESUME_TOKEN_INVALID"),
    ),
    "ImportRecords": ([pb.ImportRecordsRequest(**NO_MODEL, import_id="june")], MODEL_NOT_FOUND),
    "RunTransaction": (
        pb.RunTransactionRequest(parent=HERE, steps=[CREATE]),
        (code_pb2.INVALID_ARGUMENT, "STEP_REFERENCE_INVALID"),
    ),
    "WatchRecords": (
        pb.WatchRecordsRequest(**AT, resume_token="made up"),
        (code_pb2.INVALID_ARGUMENT, "RESUME_TOKEN_INVALID"),
    ),
    "SearchCustomers": (pb.SearchCustomersRequest(connection=HERE, query="a", page_token="made up"), BAD_TOKEN),
}


@pytest.fixture(scope="module", autouse=True)
def refusing(up: Up) -> None:
    """A connection with a subscription."""
    call = Caller(up.address, SERVICE, "grpc")
    connection = sandbox_connection(up.sandbox.url)
    call("CreateConnection", pb.CreateConnectionRequest(connection_id="refusing", connection=connection))
    subscription = pb.Subscription(model=ORDER)
    call(
        "CreateSubscription",
        pb.CreateSubscriptionRequest(parent=HERE, subscription_id="orders", subscription=subscription),
    )


def test_there_is_an_error_for_every_rpc() -> None:
    assert set(REFUSALS) == set(SERVICE.methods_by_name)


@pytest.mark.parametrize("way", WAYS)
def test_every_rpc_refuses_in_the_documented_form(up: Up, way: str) -> None:
    call, wrong = Caller(up.address, SERVICE, way), {}
    for method, (sent, expected) in REFUSALS.items():
        for binding in range(len(bindings(SERVICE.methods_by_name[method])) if way == "rest" else 1):
            found = call.refused(method, sent, binding)
            if found != expected:
                wrong[method] = found
    assert not wrong
    assert not call.missed()
