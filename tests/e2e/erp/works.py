"""What is tried through Envoy: groups, batches, transactions, exports and imports, customers, figures."""

from __future__ import annotations

from google.rpc import code_pb2
from sutler.erp.v1 import erp_pb2 as pb
from sutler.wire import from_struct, to_struct

from tests.e2e.ways import Caller

PARTNER, ORDER = "res.partner", "sale.order"
LINE = {"product_id": 1, "product_uom_qty": 3}


def groups_are_computed(call: Caller, main: str) -> None:
    aggregates = [pb.Aggregate(function=pb.Aggregate.FUNCTION_SUM, field="amount_total", alias="total")]
    groupings = [pb.Grouping(field="state"), pb.Grouping(field="date_order", date_part=pb.Grouping.DATE_PART_YEAR)]
    request = pb.AggregateRecordsRequest(
        connection=main, model=ORDER, aggregates=aggregates, groupings=groupings, order_by="total desc"
    )
    groups = call("AggregateRecords", request).groups
    assert (
        sum(group.count for group in groups)
        == call("CountRecords", pb.CountRecordsRequest(connection=main, model=ORDER)).count
    )
    assert {from_struct(group.keys)["state"] for group in groups} >= {"sale"}


def batches_are_changed_and_deleted(call: Caller, main: str) -> None:
    at = {"connection": main, "model": PARTNER}
    rows = [pb.RecordInput(values=to_struct({"ref": f"{call.way}-{number}", "name": "U"})) for number in range(2)]
    request = pb.UpsertRecordsRequest(**at, rows=rows, key_fields=["ref"], fields=["ref"])
    made = call("UpsertRecords", request).results
    assert [result.outcome for result in made] == [pb.RowResult.OUTCOME_CREATED] * 2
    request.rows[1].values["name"] = "V"
    again = call("UpsertRecords", request).results
    assert [result.outcome for result in again] == [pb.RowResult.OUTCOME_UNCHANGED, pb.RowResult.OUTCOME_UPDATED]
    ids = [result.record.id for result in again]
    assert ids == [result.record.id for result in made]
    updates = [pb.RecordUpdate(id=one, values=to_struct({"color": one % 5})) for one in reversed(ids)]
    changed = call("BatchUpdateRecords", pb.BatchUpdateRecordsRequest(**at, rows=updates, fields=["color"])).records
    assert [(each.id, from_struct(each.values)["color"]) for each in changed] == [
        (one, one % 5) for one in reversed(ids)
    ]
    call("BatchDeleteRecords", pb.BatchDeleteRecordsRequest(**at, ids=ids))
    left = call("CountRecords", pb.CountRecordsRequest(**at, filter=f'ref = "{call.way}-*"')).count
    assert left == 0


def transactions_run(call: Caller, main: str) -> None:
    partner = pb.CreateStep(values=to_struct({"name": f"Saga {call.way}"}))
    order = pb.CreateStep(values=to_struct({"partner_id": "${steps.partner.id}", "order_line": {"create": [LINE]}}))
    steps = [
        pb.TransactionStep(step_id="partner", model=PARTNER, create_record=partner),
        pb.TransactionStep(step_id="order", model=ORDER, create_record=order),
    ]
    request = pb.RunTransactionRequest(parent=main, transaction_id="a-sale", steps=steps)
    done = call("RunTransaction", request)
    assert (done.name, done.state) == (f"{main}/transactions/a-sale", pb.Transaction.STATE_SUCCEEDED)
    got = call("GetTransaction", pb.GetTransactionRequest(name=done.name))
    assert [step.record_id for step in got.steps] == [step.record_id for step in done.steps]
    assert all(step.record_id for step in got.steps)
    listing = pb.ListTransactionsRequest(parent=main, page_size=1)
    assert [each.name for each in call("ListTransactions", listing).transactions] == [done.name]


def exports_stream(call: Caller, main: str) -> None:
    at = {"connection": main, "model": PARTNER}
    for binding in range(2 if call.way == "rest" else 1):
        request = pb.ExportRecordsRequest(**at, fields=["name", "country_id.code"], chunk_size=2)
        with call.stream("ExportRecords", request, binding) as answers:
            messages = list(answers)
        ids = [record.id for message in messages for record in message.records]
        assert ids == sorted(set(ids)) and len(ids) == call("CountRecords", pb.CountRecordsRequest(**at)).count
        assert messages[-1].HasField("status") and messages[-1].status.code == 0
        request.resume_token = messages[0].resume_token
        with call.stream("ExportRecords", request, binding) as answers:
            assert [record.id for message in answers for record in message.records] == ids[2:]


def imports_stream(call: Caller, main: str) -> None:
    name = f"{main}/imports/june"
    if call.way == "grpc":
        rows = [pb.RecordInput(values=to_struct({"name": f"Imported {number}"})) for number in range(3)]
        sent = [
            pb.ImportRecordsRequest(connection=main, model=PARTNER, import_id="june"),
            pb.ImportRecordsRequest(first_index=0, rows=rows[:2]),
            pb.ImportRecordsRequest(first_index=2, rows=rows[2:]),
        ]
        with call.stream("ImportRecords", sent) as answers:
            messages = list(answers)
        results = [result for message in messages for result in message.results]
        assert [result.index for result in results] == [0, 1, 2]
        assert len({result.record.id for result in results}) == 3
        got = call("GetImport", pb.GetImportRequest(name=name))
        assert got.created_count == got.next_index == 3
    else:
        assert call.refused("GetImport", pb.GetImportRequest(name=name)) == (code_pb2.NOT_FOUND, "NOT_FOUND")


def customers_are_told(call: Caller, main: str) -> None:
    request = pb.GetCustomerRequest(connection=main, id=10, order_limit=1)
    customer = call("GetCustomer", request)
    assert (customer.display_name, customer.company) == ("Alder Hosting", True)
    assert customer.orders.total_orders >= 1
    assert [(each.display_name, each.id) for each in customer.orders.orders]
    listing = pb.ListCustomerOrdersRequest(parent=main, customer_ids=[12, 10], order_limit=0)
    found = call("ListCustomerOrders", listing).customer_orders
    assert [each.customer_id for each in found] == [12, 10]
    assert found[1].total_amounts == customer.orders.total_amounts
    search = pb.SearchCustomersRequest(connection=main, query="alder", page_size=1)
    assert [each.id for each in call("SearchCustomers", search).customers] == [10]


def figures_are_told(call: Caller, main: str) -> None:
    stats = call("GetConnectionStats", pb.GetConnectionStatsRequest(name=f"{main}/stats"))
    assert stats.total.call_count >= sum(each.call_count for each in stats.calls) > 0
    assert "read" in {each.method for each in stats.calls}
