"""Odoo through JSON-2: the same answers as through JSON-RPC, and what only this protocol says."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Code, Invalid, NotFound, SutlerError
from sutler.wire import from_struct, to_struct, to_value

from services.erp.adapters.odoo.driver import OdooDriver
from services.erp.adapters.odoo.json2 import odoo_json2
from services.erp.connections import Connection, ConnectionSpec, ErpContext, RetryPolicy
from services.erp.faults import AnswerLostError
from services.erp.gate import Gate
from services.erp.users import Ask
from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import MAIN, RULES, connect, gateway
from tests.integration.erp.servers import Call, Reply, serving

ASK = Ask("", "key", ErpContext())
LINES = {"create": [{"product_id": 1, "product_uom_qty": 3}]}


@pytest.fixture(scope="session")
def newest() -> Iterator[SandboxProcess]:
    with started("--json2") as process:
        yield process


@pytest.fixture
async def erp(sqlite: str, newest: SandboxProcess) -> AsyncIterator[Sutler]:
    async with gateway(sqlite) as client:
        await connect(client, newest.url, driver="odoo-json2", username="", method_rules=RULES)
        yield client


def call(method: str, *ids: int, model: str = "sale.order", **more: Any) -> erp_pb2.CallMethodRequest:
    return erp_pb2.CallMethodRequest(connection=MAIN, model=model, method=method, record_ids=ids, **more)


async def test_a_connection_tells_whose_key_it_has(erp: Sutler) -> None:
    found = await erp.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN, models=["sale.order"]))
    assert (found.user.id, found.user.username, found.server_version) == (2, "admin", "19.0+sandbox")
    assert (found.rights[0].creatable, found.rights[0].deletable) == (True, True)
    assert abs(found.clock_skew.ToTimedelta().total_seconds()) < 5


async def test_orders_are_created_once_read_changed_confirmed_and_deleted(erp: Sutler, newest: SandboxProcess) -> None:
    create = erp_pb2.CreateRecordRequest(
        connection=MAIN,
        model="sale.order",
        values=to_struct({"partner_id": 10, "client_order_ref": "json2", "order_line": LINES}),
        fields=["state", "partner_id.country_id.code", "order_line.product_id.default_code"],
        request_id=str(uuid.uuid4()),
    )
    made = await erp.erp.CreateRecord(create)
    assert (await erp.erp.CreateRecord(create)).id == made.id
    values = from_struct(made.values)
    assert values["partner_id"]["country_id"]["code"] == "US"
    assert [line["product_id"]["default_code"] for line in values["order_line"]] == ["machine-small"]
    assert newest.call("sale.order", "search_count", [["client_order_ref", "=", "json2"]]) == 1

    await erp.erp.UpdateRecord(
        erp_pb2.UpdateRecordRequest(connection=MAIN, model="sale.order", id=made.id, values=to_struct({"note": "x"}))
    )
    await erp.erp.CallMethod(call("action_confirm", made.id))
    told = await erp.erp.SearchRecords(
        erp_pb2.SearchRecordsRequest(
            connection=MAIN, model="sale.order", filter='client_order_ref = "json2"', fields=["state", "note"]
        )
    )
    assert [(one.id, one.values["state"], one.values["note"]) for one in told.records] == [
        (made.id, "sale", newest.call("sale.order", "read", [made.id], ["note"])[0]["note"])
    ]
    with pytest.raises(SutlerError) as refused:
        await erp.erp.DeleteRecord(erp_pb2.DeleteRecordRequest(connection=MAIN, model="sale.order", id=made.id))
    assert refused.value.reason == "ERP_RULE_VIOLATED"
    copied = await erp.erp.CreateRecord(
        erp_pb2.CreateRecordRequest(connection=MAIN, model="res.partner", values=to_struct({"name": "Json Two"}))
    )
    found = await erp.erp.SearchNames(erp_pb2.SearchNamesRequest(connection=MAIN, model="res.partner", query="Json T"))
    assert [one.id for one in found.records] == [copied.id]
    await erp.erp.DeleteRecord(erp_pb2.DeleteRecordRequest(connection=MAIN, model="res.partner", id=copied.id))
    count = erp_pb2.CountRecordsRequest(connection=MAIN, model="res.partner", filter='name = "Json Two"')
    assert (await erp.erp.CountRecords(count)).count == 0


async def test_arguments_go_by_name(erp: Sutler) -> None:
    told = await erp.erp.CallMethod(call("context_get", model="res.users"))
    assert from_struct(told.result.struct_value)["uid"] == 2
    positional = to_value([{"disable_cancel_warning": True}]).list_value
    with pytest.raises(Invalid) as caught:
        await erp.erp.CallMethod(call("action_cancel", 1, positional=positional))
    assert caught.value.reason == "ARGUMENTS_INVALID"
    assert caught.value.violations[0].field == "positional"
    with pytest.raises(Invalid) as unexpected:
        await erp.erp.CallMethod(call("action_cancel", 1, named=to_struct({"colour": 1})))
    assert unexpected.value.reason == "ARGUMENTS_INVALID"


@pytest.mark.parametrize(
    ("values", "model", "reason"),
    [
        ({"name": "x", "country_id": 999_999}, "res.partner", "REFERENCE_MISSING"),
        ({"order_line": []}, "sale.order", "VALUE_MISSING"),
        ({"colour": 1}, "sale.order", "FIELD_NOT_FOUND"),
        ({"name": "x"}, "no.such.model", "MODEL_NOT_FOUND"),
    ],
)
async def test_refusals_have_the_same_reasons(erp: Sutler, values: dict[str, Any], model: str, reason: str) -> None:
    with pytest.raises(SutlerError) as caught:
        await erp.erp.CreateRecord(erp_pb2.CreateRecordRequest(connection=MAIN, model=model, values=to_struct(values)))
    assert caught.value.reason == reason


async def test_what_does_not_exist(erp: Sutler) -> None:
    with pytest.raises(NotFound) as record:
        await erp.erp.CallMethod(call("action_confirm", 999_999))
    assert (record.value.reason, record.value.metadata["ids"]) == ("NOT_FOUND", "999999")
    with pytest.raises(NotFound) as method:
        await erp.erp.CallMethod(call("action_fly", 1))
    assert method.value.reason == "METHOD_NOT_FOUND"


async def test_a_wrong_key_is_a_refused_login(sqlite: str, newest: SandboxProcess, sandbox: SandboxProcess) -> None:
    async with gateway(sqlite) as client:
        await connect(client, newest.url, driver="odoo-json2", secret="wrong")
        await connect(client, sandbox.url, "older", driver="odoo-json2")
        for name, code, reason in (
            (MAIN, Code.FAILED_PRECONDITION, "LOGIN_REFUSED"),
            ("connections/older", Code.UNAVAILABLE, "ERP_ANSWER_INVALID"),
        ):
            with pytest.raises(SutlerError) as caught:
                await client.erp.CountRecords(erp_pb2.CountRecordsRequest(connection=name, model="res.partner"))
            assert (caught.value.code, caught.value.reason) == (code, reason)


NO_DATABASE = "<title>404 Not Found</title><p>No database is selected and the requested URL was not found"


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (401, {"name": "werkzeug.exceptions.Unauthorized", "message": "Invalid apikey"}, "LOGIN_REFUSED"),
        (403, {"name": "odoo.exceptions.AccessError", "message": "no"}, "ERP_ACCESS_DENIED"),
        (404, NO_DATABASE, "DATABASE_NOT_FOUND"),
        (404, "<h1>Not Found</h1>", "ERP_ANSWER_INVALID"),
        (409, {"name": "odoo.exceptions.LockError", "message": "Cannot acquire lock"}, "WRITE_CONFLICT"),
        (422, {"name": "odoo.addons.shop.errors.ShopError", "message": "closed"}, "ERP_RULE_VIOLATED"),
        (422, {"name": "werkzeug.exceptions.UnprocessableEntity", "message": "missing 'x'"}, "ARGUMENTS_INVALID"),
        (429, {"name": "werkzeug.exceptions.TooManyRequests", "message": "slowly"}, "ERP_ANSWER_INVALID"),
        (500, {"name": "builtins.ZeroDivisionError", "message": "division", "debug": "Traceback"}, "ERP_FAILED"),
    ],
)
async def test_each_status_has_its_reason(status: int, body: Any, reason: str) -> None:
    kind = "application/json" if isinstance(body, dict) else "text/html"
    content = (json.dumps({"arguments": [], "context": {}, **body}) if isinstance(body, dict) else body).encode()
    with pytest.raises(SutlerError) as caught:
        await _call_answered(Reply(content, status, kind))
    assert caught.value.reason == reason
    assert "Traceback" not in caught.value.message + str(caught.value.metadata)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b'{"name": "werkzeug.exceptions.ServiceUnavailable", "message": "busy"}', 503, "application/json"),
        Reply(b"<h1>Bad Gateway</h1>", 502, "text/html"),
        Reply(b"<h1>Welcome</h1>", 200, "text/html"),
        Reply(b'{"uid": 2}', cut=4),
    ],
)
async def test_an_answer_that_is_lost_is_not_a_refusal(reply: Reply) -> None:
    with pytest.raises(AnswerLostError):
        await _call_answered(reply)


async def _call_answered(reply: Reply) -> Any:
    """Calls a method of a server that knows the key, and answers anything else so."""

    async def answer(call: Call) -> Reply:
        return Reply(b'{"uid": 2}') if call.body == b"{}" else reply

    async with serving(answer) as url:
        driver = _driver(url)
        try:
            return await driver.call(ASK, "sale.order", "action_confirm", [1], [], {})
        finally:
            await driver.close()


def _driver(url: str) -> OdooDriver:
    spec = ConnectionSpec(driver="odoo-json2", url=url, database="demo", retry_policy=RetryPolicy(max_attempts=1))
    made = Connection(tenant="default", id="main", uid="u", spec=spec)
    return odoo_json2(made, Gate(made.name, made.spec, lambda error, breaker_open: None))
