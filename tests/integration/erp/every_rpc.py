"""One request for each RPC of the service, about a connection and one model of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.wire import to_struct, to_value

MODEL = "res.partner"
METHODS = {method.name: method for method in pb.DESCRIPTOR.services_by_name["ErpGateway"].methods}
BIDIRECTIONAL = "ImportRecords"


def fields(connection: str) -> dict[str, dict[str, Any]]:
    """Returns the fields of a request for each method, about a connection."""
    values = to_struct({"name": "made by nobody"})
    of_model = {"connection": connection, "model": MODEL}
    orders = f"{connection}/subscriptions/orders"
    new = pb.Connection(driver="odoo-jsonrpc", url="http://127.0.0.1:9", database="d", username="u", secret="s")
    step = pb.TransactionStep(step_id="a", model=MODEL, delete_record=pb.DeleteStep(id=to_value(10)))
    return {
        "GetConnection": {"name": connection},
        "ListConnections": {},
        "CreateConnection": {"connection_id": connection.partition("/")[2], "connection": new},
        "UpdateConnection": {"connection": pb.Connection(name=connection, max_concurrency=3)},
        "DeleteConnection": {"name": connection, "force": True},
        "GetConnectionStats": {"name": f"{connection}/stats"},
        "GetSubscription": {"name": orders},
        "ListSubscriptions": {"parent": connection},
        "CreateSubscription": {
            "parent": connection, "subscription_id": "s", "subscription": pb.Subscription(model=MODEL)
        },
        "UpdateSubscription": {"subscription": pb.Subscription(name=orders, entity="x")},
        "DeleteSubscription": {"name": orders},
        "GetTransaction": {"name": f"{connection}/transactions/t"},
        "ListTransactions": {"parent": connection},
        "GetImport": {"name": f"{connection}/imports/i"},
        "ListDrivers": {},
        "ListModels": {"parent": connection},
        "GetRecord": {**of_model, "id": 10},
        "CreateRecord": {**of_model, "values": values},
        "UpdateRecord": {**of_model, "id": 10, "values": values},
        "DeleteRecord": {**of_model, "id": 10},
        "GetCustomer": {"connection": connection, "id": 10},
        "ListCustomerOrders": {"parent": connection},
        "CheckConnection": {"name": connection},
        "DescribeModel": of_model,
        "BatchGetRecords": {**of_model, "ids": [10]},
        "SearchRecords": of_model,
        "SearchNames": of_model,
        "CountRecords": of_model,
        "AggregateRecords": {**of_model, "aggregates": [pb.Aggregate(function=1, alias="count")]},
        "BatchCreateRecords": {**of_model, "rows": [pb.RecordInput(values=values)]},
        "BatchUpdateRecords": {**of_model, "rows": [pb.RecordUpdate(id=10, values=values)]},
        "BatchDeleteRecords": {**of_model, "ids": [10]},
        "UpsertRecords": {**of_model, "rows": [pb.RecordInput(values=values, external_id="shop.a")]},
        "CallMethod": {**of_model, "method": "action_x", "record_ids": [10]},
        "ExportRecords": {**of_model, "fields": ["name"]},
        "ImportRecords": {**of_model, "import_id": "i", "rows": [pb.RecordInput(values=values)]},
        "RunTransaction": {"parent": connection, "transaction_id": "t", "steps": [step]},
        "WatchRecords": {**of_model, "fields": ["name"]},
        "SearchCustomers": {"connection": connection},
    }  # fmt: skip


async def ask(client: Sutler, method: str, connection: str, metadata: dict[str, str]) -> Any:
    """Calls a method; of a stream, returns the first message."""
    request = getattr(pb, f"{method}Request")(**fields(connection)[method])
    answer = getattr(client.erp, method)(_one(request) if method == BIDIRECTIONAL else request, metadata=metadata)
    if not METHODS[method].server_streaming:
        return await answer
    try:
        return await anext(answer)
    finally:
        await answer.aclose()


async def _one(request: Any) -> AsyncIterator[Any]:
    yield request
