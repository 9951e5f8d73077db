"""Writing through a real server: once, whatever is lost or killed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import (
    AlreadyExists,
    Conflict,
    Exhausted,
    FailedPrecondition,
    Invalid,
    NotFound,
    PermissionDenied,
    SutlerError,
)
from sutler.testing import wait_until
from sutler.wire import duration, from_struct, from_value, to_struct, to_value

from services.erp import attempts
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, RULES, connect, gateway
from tests.integration.erp.requests import LINES, call, create, entries, request_id, update
from tests.integration.erp.servers import Proxy


async def test_an_order_is_created_changed_confirmed_and_deleted(database: str, sandbox: SandboxProcess) -> None:
    async with gateway(database) as client:
        await connect(client, sandbox.url, method_rules=RULES)
        made = await client.erp.CreateRecord(
            create(
                {
                    "partner_id": {"id": 10},
                    "client_order_ref": "W1",
                    "validity_date": "2027-01-31",
                    "order_line": LINES,
                },
                fields=["name", "state", "validity_date", "order_line.product_uom_qty"],
            )
        )
        values = from_struct(made.values)
        assert (values["state"], values["validity_date"]) == ("draft", "2027-01-31")
        assert [line["product_uom_qty"] for line in values["order_line"]] == [3, 0]
        line = values["order_line"][0]["id"]
        changed = await client.erp.UpdateRecord(
            update(
                made.id,
                {"note": "<p>hello</p>", "order_line": {"update": [{"id": line, "product_uom_qty": 5}]}},
                "sale.order",
                fields=["note", "order_line.product_uom_qty"],
            )
        )
        told = from_struct(changed.values)
        assert told["note"] == "<p>hello</p>"
        assert {one["id"]: one["product_uom_qty"] for one in told["order_line"]}[line] == 5
        answer = await client.erp.CallMethod(call("action_confirm", made.id))
        assert from_value(answer.result) is True
        assert sandbox.call("sale.order", "read", [made.id], ["state"]) == [{"id": made.id, "state": "sale"}]
        with pytest.raises(FailedPrecondition) as refused:
            await client.erp.DeleteRecord(erp_pb2.DeleteRecordRequest(connection=MAIN, model="sale.order", id=made.id))
        assert refused.value.reason == "ERP_RULE_VIOLATED"
        cancel = call(
            "action_cancel", made.id, context=erp_pb2.ErpContext(extra=to_struct({"disable_cancel_warning": True}))
        )
        await client.erp.CallMethod(cancel)
        delete = erp_pb2.DeleteRecordRequest(connection=MAIN, model="sale.order", id=made.id)
        await client.erp.DeleteRecord(delete)
        assert sandbox.call("sale.order", "search_count", [["id", "=", made.id]]) == 0
        with pytest.raises(NotFound):
            await client.erp.DeleteRecord(delete)
        delete.allow_missing = True
        await client.erp.DeleteRecord(delete)


@pytest.mark.parametrize(
    ("request_", "kind", "reason"),
    [
        (create({"name": "x", "colour": 1}, "res.partner"), Invalid, "FIELD_NOT_FOUND"),
        (create({"name": "x", "color": "red"}, "res.partner"), Invalid, "VALUE_INVALID"),
        (create({"name": "x", "type": "bogus"}, "res.partner"), Invalid, "VALUE_INVALID"),
        (create({"email": "x"}, "res.partner"), Invalid, "VALUE_MISSING"),
        (create({}, "sale.order"), Invalid, "VALUE_MISSING"),
        (create({"name": "x", "country_id": 987_654}, "res.partner"), FailedPrecondition, "REFERENCE_MISSING"),
        (create({"name": "Again", "code": "BE"}, "res.country"), AlreadyExists, "UNIQUE_VIOLATION"),
        (create({"name": "x"}, "no.such"), NotFound, "MODEL_NOT_FOUND"),
        (create({"name": "x"}, "res.partner", fields=["colour"]), Invalid, "FIELD_NOT_FOUND"),
        (update(10, {"parent_id": 10}), FailedPrecondition, "ERP_RULE_VIOLATED"),
        (update(10, {"country_id": 987_654}), FailedPrecondition, "REFERENCE_MISSING"),
        (update(987_654, {"name": "x"}), NotFound, "NOT_FOUND"),
        (call("unlink", 1), PermissionDenied, "METHOD_NOT_ALLOWED"),
        (call("action_fly", 1), NotFound, "METHOD_NOT_FOUND"),
        (call("action_confirm", 987_654), NotFound, "NOT_FOUND"),
        (call("action_confirm", 1, named=to_struct({"nope": 1})), Invalid, "ARGUMENTS_INVALID"),
        (
            erp_pb2.DeleteRecordRequest(model="res.country", id=233),
            FailedPrecondition,
            "RECORD_REFERENCED",
        ),
    ],
)
async def test_refusals_have_their_reasons(
    sqlite: str, sandbox: SandboxProcess, request_: Any, kind: type[SutlerError], reason: str
) -> None:
    request_.connection = MAIN
    method = type(request_).__name__.removesuffix("Request")
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url, method_rules=RULES)
        with pytest.raises(kind) as caught:
            await getattr(client.erp, method)(request_)
        assert caught.value.reason == reason
        assert entries(sqlite) == []


async def test_etags_hold_for_exactly_what_was_read(erp: Sutler, sandbox: SandboxProcess) -> None:
    [partner] = sandbox.call("res.partner", "create", [{"name": "one", "color": 1}])

    async def etag(*fields: str) -> str:
        read = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=partner, fields=fields)
        return (await erp.erp.GetRecord(read)).etag

    by_name, by_colour = await etag("name"), await etag("color")
    sandbox.call("res.partner", "write", [partner], {"name": "two"})
    with pytest.raises(Conflict) as caught:
        await erp.erp.UpdateRecord(update(partner, {"color": 2}, etag=by_name))
    assert caught.value.reason == "ETAG_MISMATCH"
    await erp.erp.UpdateRecord(update(partner, {"color": 2}, etag=by_colour))
    with pytest.raises(Conflict):
        await erp.erp.UpdateRecord(update(partner, {"color": 3}, etag='"0123456789abcdef-0123456789abcdef"'))
    delete = erp_pb2.DeleteRecordRequest(connection=MAIN, model="res.partner", id=partner, etag=by_colour)
    with pytest.raises(Conflict):
        await erp.erp.DeleteRecord(delete)
    await erp.erp.UpdateRecord(update(partner, {"color": 4}, etag=await etag("color", "name")))


async def test_of_concurrent_updates_with_one_etag_one_wins(erp: Sutler, sandbox: SandboxProcess) -> None:
    [partner] = sandbox.call("res.partner", "create", [{"name": "one", "color": 0}])
    read = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=partner, fields=["color"])
    etag = (await erp.erp.GetRecord(read)).etag
    told = await asyncio.gather(
        *(erp.erp.UpdateRecord(update(partner, {"color": i}, etag=etag)) for i in range(1, 7)), return_exceptions=True
    )
    assert sum(isinstance(one, erp_pb2.Record) for one in told) == 1
    assert {one.reason for one in told if isinstance(one, SutlerError)} == {"ETAG_MISMATCH"}


async def test_one_writer_for_each_record(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    [partner] = sandbox.call("res.partner", "create", [{"name": "busy"}])
    await client.erp.UpdateRecord(update(partner, {"color": 9}))
    server.most = 0
    await asyncio.gather(*(client.erp.UpdateRecord(update(partner, {"color": i})) for i in range(8)))
    assert server.most == 1


async def test_a_write_waits_for_another_of_its_record_no_longer_than_for_a_turn(
    sqlite: str, lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    busy, free = sandbox.call("res.partner", "create", [{"name": "held"}, {"name": "free"}])
    connection = erp_pb2.Connection(name=MAIN, max_queue_wait=duration(0.2))
    await client.erp.UpdateConnection(erp_pb2.UpdateConnectionRequest(connection=connection))
    server.slow("write", 2.0)
    first = asyncio.create_task(client.erp.UpdateRecord(update(busy, {"color": 1})))

    async def held() -> bool:
        return server.slowed == 1

    await wait_until(held, 10)
    with pytest.raises(Exhausted) as caught:
        await client.erp.UpdateRecord(update(busy, {"color": 2}))
    assert (caught.value.reason, caught.value.metadata["queue"]) == ("OVERLOADED", f"res.partner/{busy}")
    assert not first.done()
    await client.erp.UpdateRecord(update(free, {"color": 2}))
    await first
    assert sandbox.call("res.partner", "read", [busy], ["color"])[0]["color"] == 1
    assert entries(sqlite) == []


async def test_batches_are_created_together_or_not_at_all(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    rows = [erp_pb2.RecordInput(values=to_struct({"name": f"b{i}", "ref": "batch-create"})) for i in range(4)]
    request = erp_pb2.BatchCreateRecordsRequest(
        connection=MAIN, model="res.partner", rows=rows, fields=["name"], request_id=request_id()
    )
    server.lose("load")
    made = await client.erp.BatchCreateRecords(request)
    assert [from_struct(one.values)["name"] for one in made.records] == ["b0", "b1", "b2", "b3"]
    assert await client.erp.BatchCreateRecords(request) == made
    ids = [one.id for one in made.records]
    assert sandbox.call("res.partner", "search", [["ref", "=", "batch-create"]], order="id") == ids

    wrong = [*rows, erp_pb2.RecordInput(values=to_struct({"name": "x", "color": "red"}))]
    with pytest.raises(Invalid) as caught:
        await client.erp.BatchCreateRecords(
            erp_pb2.BatchCreateRecordsRequest(connection=MAIN, model="res.partner", rows=wrong)
        )
    assert (caught.value.reason, caught.value.metadata["rows"]) == ("ROWS_INVALID", "4")
    refused = [*rows, erp_pb2.RecordInput(values=to_struct({"ref": "batch-create"}))]
    with pytest.raises(Invalid) as caught:
        await client.erp.BatchCreateRecords(
            erp_pb2.BatchCreateRecordsRequest(connection=MAIN, model="res.partner", rows=refused)
        )
    assert caught.value.reason == "ROWS_INVALID"
    assert caught.value.violations[0].field.startswith("rows[4]")
    assert sandbox.call("res.partner", "search_count", [["ref", "=", "batch-create"]]) == 4


async def test_validate_only_writes_nothing(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    [partner] = sandbox.call("res.partner", "create", [{"name": "kept"}])
    would = await client.erp.CreateRecord(create({"name": "x", "ref": "dry"}, "res.partner", validate_only=True))
    assert (would.id, from_struct(would.values)) == (0, {"name": "x", "ref": "dry"})
    await client.erp.UpdateRecord(update(partner, {"name": "y"}, validate_only=True))
    delete = erp_pb2.DeleteRecordRequest(connection=MAIN, model="res.partner", id=partner, validate_only=True)
    await client.erp.DeleteRecord(delete)
    await client.erp.CallMethod(call("action_confirm", 1, validate_only=True))
    for wrong in (
        update(987_654, {"name": "y"}, validate_only=True),
        call("action_confirm", 987_654, validate_only=True),
    ):
        method = type(wrong).__name__.removesuffix("Request")
        with pytest.raises(NotFound):
            await getattr(client.erp, method)(wrong)
    assert {"create", "load", "write", "unlink", "action_confirm"} & {one.method for one in server.calls} == set()


async def test_values_travel_both_ways(erp: Sutler, sandbox: SandboxProcess) -> None:
    line = {"product_id": {"id": 2}, "product_uom_qty": 1.5, "price_unit": "99.50", "tax_id": [1]}
    values = {
        "partner_id": 10,
        "date_order": "2026-11-21T10:30:00+01:00",
        "validity_date": "2026-12-31",
        "require_signature": False,
        "client_order_ref": None,
        "order_line": {
            "create": [{"product_id": {"id": 2}, "product_uom_qty": 1.5, "price_unit": "99.50", "tax_id": [1]}]
        },
    }
    made = await erp.erp.CreateRecord(
        create(values, fields=[*values, "order_line.price_unit", "order_line.tax_id", "order_line.product_uom_qty"])
    )
    told = from_struct(made.values)
    assert told["date_order"] == "2026-11-21T09:30:00Z"
    assert (told["validity_date"], told["require_signature"], told["client_order_ref"]) == ("2026-12-31", False, None)
    [line] = told["order_line"]
    assert (line["product_uom_qty"], line["price_unit"]) == (1.5, 99.5)
    assert line["tax_id"] == [{"id": 1, "display_name": "15%"}]
    assert to_value(told["partner_id"]) == to_value({"id": 10, "display_name": "Alder Hosting"})


async def test_a_call_that_counts_as_unknown_is_not_made_any_more(
    sqlite: str, lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = lossy
    [order] = sandbox.call("sale.order", "create", [{"partner_id": 10}])
    server.slow("write", 2.5)
    holding = update(order, {"client_order_ref": "held"})
    holding.model = "sale.order"
    first = asyncio.create_task(client.erp.UpdateRecord(holding))
    await wait_until(lambda: server.slowed == 1)
    monkeypatch.setattr(attempts, "_longest", lambda spec: 0.3)
    second = asyncio.create_task(client.erp.CallMethod(call("action_confirm", order, request_id=request_id())))

    async def unknown() -> bool:
        listed = await client.erp.ListTransactions(erp_pb2.ListTransactionsRequest(parent=MAIN))
        return [one.state for one in listed.transactions] == [erp_pb2.Transaction.STATE_OUTCOME_UNKNOWN]

    await wait_until(unknown)
    with pytest.raises(Exhausted) as caught:
        await second
    await first
    assert caught.value.reason == "OVERLOADED"
    assert server.count("action_confirm") == 0
    assert entries(sqlite) == []


async def test_a_create_says_which_values(erp: Sutler) -> None:
    with pytest.raises(Invalid) as caught:
        await erp.erp.CreateRecord(erp_pb2.CreateRecordRequest(connection=MAIN, model="res.partner"))
    assert [one.field for one in caught.value.violations] == ["values"]
