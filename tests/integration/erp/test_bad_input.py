"""The lines of "Bad input and faults" of issue 5, each with its tests.

| line | tests |
|---|---|
| recorded errors: code, reason, field | ``test_replay``, ``test_recordings``, and the replay for Tryton |
| down | ``test_erp_faults``: down and found again; ``test_feed_api``: nothing is missed |
| slow (30 s) | here: only its own connection is slow; ``test_erp_faults``: ERP_TIMEOUT |
| HTML, half a body, neither result nor error | ``test_erp_faults``, ``test_lost_answers`` |
| drop by drop | ``test_http`` |
| another database's session | here; another call's answer: ``test_erp_faults``; an expired one: ``test_replay`` |
| a password changed meanwhile | here, and ``test_erp_faults`` |
| a model or field removed | here |
| 100,000 ids in one call | here |
| injection attempts | here |
| clock skew | here: what is told; ``test_feed_api``: the feed |
| SIGKILL during import, saga, polling | ``test_kill`` and the tests of imports and transactions |
| never a duplicate, never a lost change | ``test_lost_answers``, ``test_kill`` |
| never "not found" for "not reachable" | ``test_outages``, ``test_erp_faults`` |
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.struct_pb2 import ListValue
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Code, FailedPrecondition, Invalid, NotFound, SutlerError
from sutler.wire import duration, to_struct, to_value

from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import MAIN, RULES, connect, connection_in_state, gateway
from tests.integration.erp.requests import create, request_id
from tests.integration.erp.servers import Call, Proxy, Reply, failure, result, serving

READ = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10)
ANEW = erp_pb2.ReadOptions(max_staleness=duration(0))


async def test_a_slow_erp_slows_its_own_connection_only(sqlite: str, sandbox: SandboxProcess) -> None:
    async def answer(call: Call) -> Reply:
        return Reply(delay=30)

    async with serving(answer) as url, gateway(sqlite) as client:
        await connect(client, url, "slow", timeout=duration(60))
        await connect(client, sandbox.url)
        asking = erp_pb2.GetRecordRequest(connection="connections/slow", model="res.partner", id=10)
        waiting = [asyncio.create_task(client.erp.GetRecord(asking, timeout=20)) for _ in range(30)]
        began = time.monotonic()
        for _ in range(5):
            assert (await client.erp.GetRecord(READ)).id == 10
        assert time.monotonic() - began < 5
        assert not any(task.done() for task in waiting)
        with pytest.raises(SutlerError) as caught:
            await client.erp.GetRecord(asking, timeout=0.3)
        assert caught.value.code in (Code.DEADLINE_EXCEEDED, Code.UNAVAILABLE)
        for task in waiting:
            task.cancel()


async def test_a_login_belongs_to_one_database(sqlite: str) -> None:
    uids = {"one": 7, "two": 9}
    wrong: list[Any] = []

    async def answer(call: Call) -> Reply:
        if call.service == "common":
            return result({"server_version": "18.0"} if call.method == "version" else uids[call.args[0]])
        database, uid, *_ = json.loads(call.body)["params"]["args"]
        if uid != uids[database]:
            wrong.append((database, uid))
            return failure(
                "odoo.exceptions.MissingError",
                f"Record does not exist or has been deleted.\n(Record: res.users({uid},), User: {uid})",
            )
        if call.method == "fields_get":
            return result({"display_name": {"type": "char"}})
        return result([{"id": one, "display_name": f"{database} {uid}"} for one in call.args[0]])

    async with serving(answer) as url, gateway(sqlite) as client:
        await connect(client, url, database="one")
        assert (await client.erp.GetRecord(READ)).display_name == "one 7"
        other = erp_pb2.Connection(name=MAIN, database="two")
        await client.erp.UpdateConnection(erp_pb2.UpdateConnectionRequest(connection=other))
        assert (await client.erp.GetRecord(READ)).display_name == "two 9"
        assert wrong == []
        uids["two"] = 11  # restored from a backup: the same user has another id
        assert (await client.erp.GetRecord(READ)).display_name == "two 11"
        assert wrong == [("two", 9)]


async def test_a_password_that_was_changed_must_be_given_anew(sqlite: str, sandbox: SandboxProcess) -> None:
    login = f"shop-{uuid.uuid4().hex[:6]}"
    user = sandbox.call("res.users", "create", {"name": "Shop", "login": login, "password": "before"})
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url, username=login, secret="before")
        assert (await client.erp.GetRecord(READ)).id == 10
        sandbox.call("res.users", "write", [user], {"password": "after"})
        with pytest.raises(FailedPrecondition) as caught:
            await client.erp.GetRecord(READ)
        assert (caught.value.reason, caught.value.metadata["username"]) == ("LOGIN_REFUSED", login)
        assert "before" not in caught.value.message + str(caught.value.metadata)
        with pytest.raises(FailedPrecondition):
            await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN))
        await connection_in_state(client, erp_pb2.Connection.STATE_UNHEALTHY)
        anew = erp_pb2.Connection(name=MAIN, secret="after")
        await client.erp.UpdateConnection(erp_pb2.UpdateConnectionRequest(connection=anew))
        assert (await client.erp.GetRecord(READ)).id == 10


async def test_a_field_that_was_removed_is_refused_once(lossy: tuple[Sutler, Proxy]) -> None:
    client, proxy = lossy
    proxy.alter("fields_get", _with_field("x_removed"))
    everything = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10, fields=["*"])
    for asking in (everything, erp_pb2.SearchRecordsRequest(connection=MAIN, model="res.partner", fields=["*"])):
        method = getattr(client.erp, type(asking).__name__.removesuffix("Request"))
        with pytest.raises(Invalid) as caught:
            await method(asking)
        assert caught.value.reason == "FIELD_NOT_FOUND"
        assert (caught.value.metadata["model"], caught.value.metadata["field"]) == ("res.partner", "x_removed")
        await method(asking)
        proxy.alter("fields_get", _with_field("x_removed"))
        await _read_anew(client, "res.partner")
    named = erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10, fields=["name", "x_removed"])
    for _ in range(2):
        with pytest.raises(Invalid) as caught:
            await client.erp.GetRecord(named)
        assert caught.value.reason == "FIELD_NOT_FOUND"


@pytest.mark.parametrize(
    ("asking", "method"),
    [
        (erp_pb2.ExportRecordsRequest(fields=["x_removed"]), "search_read"),
        (erp_pb2.SearchNamesRequest(query="a", filter='x_removed = "a"'), "name_search"),
        (erp_pb2.AggregateRecordsRequest(groupings=[erp_pb2.Grouping(field="x_removed")]), "read_group"),
        (erp_pb2.UpdateRecordRequest(id=10, values=to_struct({"x_removed": "a"})), "write"),
    ],
)
async def test_a_field_that_was_removed_is_asked_for_once(
    lossy: tuple[Sutler, Proxy], asking: Any, method: str
) -> None:
    client, proxy = lossy
    asking.connection, asking.model = MAIN, "res.partner"
    proxy.alter("fields_get", _with_field("x_removed"))
    for _ in range(2):
        with pytest.raises(Invalid) as caught:
            await _ask(client, asking)
        assert caught.value.reason in ("FIELD_NOT_FOUND", "FILTER_INVALID")
    assert proxy.count(method) == 1


async def test_a_model_that_was_removed_is_not_there(lossy: tuple[Sutler, Proxy]) -> None:
    client, proxy = lossy
    await client.erp.GetRecord(READ)
    proxy.replace("fields_get", result({"display_name": {"type": "char"}, "name": {"type": "char"}}))
    for asking in (
        erp_pb2.GetRecordRequest(connection=MAIN, model="x.removed", id=1, fields=["name"]),
        erp_pb2.SearchRecordsRequest(connection=MAIN, model="x.removed", fields=["name"]),
        erp_pb2.DescribeModelRequest(connection=MAIN, model="x.removed"),
    ):
        with pytest.raises(NotFound) as caught:
            await getattr(client.erp, type(asking).__name__.removesuffix("Request"))(asking)
        assert (caught.value.reason, caught.value.metadata["model"]) == ("MODEL_NOT_FOUND", "x.removed")


async def test_100_000_ids_are_refused_unasked_and_90_000_are_found(
    lossy: tuple[Sutler, Proxy],
) -> None:
    client, proxy = lossy
    await client.erp.GetRecord(READ)
    asked = len(proxy.calls)
    ids = range(1, 100_001)
    for asking in (
        erp_pb2.BatchGetRecordsRequest(connection=MAIN, model="res.partner", ids=ids),
        erp_pb2.BatchDeleteRecordsRequest(connection=MAIN, model="res.partner", ids=ids),
        erp_pb2.CallMethodRequest(connection=MAIN, model="sale.order", method="action_confirm", record_ids=ids),
        erp_pb2.SearchRecordsRequest(connection=MAIN, model="res.partner", domain=_among(ids)),
    ):
        with pytest.raises(Invalid) as caught:
            await getattr(client.erp, type(asking).__name__.removesuffix("Request"))(asking)
        assert caught.value.violations
    assert {call.method for call in proxy.calls[asked:]} <= {"version", "authenticate"}  # the check of the connection
    search = erp_pb2.SearchRecordsRequest(connection=MAIN, model="res.partner", domain=_among(ids[:90_000]))
    assert [one.id for one in (await client.erp.SearchRecords(search)).records] == [10]


@pytest.mark.parametrize(
    "text",
    [
        "'); DROP TABLE res_partner; --",
        "x' OR '1'='1",
        '"], ["id", ">", 0], ["name", "=", "',
        "\\",
        "%",
        "${jndi:ldap://x}",
        "__import__('os').system('true')",
    ],
)
async def test_a_value_is_a_value_and_no_more(erp: Sutler, sandbox: SandboxProcess, text: str) -> None:
    before = sandbox.call("res.partner", "search_count", [])
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    for search in (
        erp_pb2.SearchRecordsRequest(filter=f'name = "{quoted}"'),
        erp_pb2.SearchRecordsRequest(filter=f'partner_id.ref = "{quoted}" OR name = "{quoted}"', model="sale.order"),
        erp_pb2.SearchRecordsRequest(domain=to_value([["name", "=", text]]).list_value),
    ):
        search.connection, search.model = MAIN, search.model or "res.partner"
        assert list((await erp.erp.SearchRecords(search)).records) == []
    assert sandbox.call("res.partner", "search_count", []) == before


@pytest.mark.parametrize(
    "domain",
    [
        [["name) OR 1=1 --", "=", "x"]],
        [["name; DROP TABLE res_partner", "=", "x"]],
        [["id", "inselect", ["SELECT id FROM res_users", []]]],
        [["id", "in", [["SELECT 1"]]]],
        [["name", "= 'x' OR 1=1 --", "x"]],
        [["__class__", "=", "x"]],
        [["password", "=like", "a%"]],
        [["|", "=", 1], "|"],
        ["&"],
        "DROP",
        [{"name": "x"}],
    ],
)
async def test_a_domain_cannot_be_more_than_a_domain(erp: Sutler, sandbox: SandboxProcess, domain: Any) -> None:
    before = sandbox.call("res.partner", "search_count", [])
    search = erp_pb2.SearchRecordsRequest(
        connection=MAIN, model="res.partner", domain=to_value(list(domain)).list_value
    )
    with pytest.raises(Invalid) as caught:
        await erp.erp.SearchRecords(search)
    assert caught.value.reason in ("DOMAIN_INVALID", "FIELD_NOT_FOUND", "VALUE_INVALID")
    assert caught.value.violations
    assert "Traceback" not in caught.value.message + str(caught.value.metadata)
    assert sandbox.call("res.partner", "search_count", []) == before


@pytest.mark.parametrize("offset", [-600, 600])
async def test_a_clock_that_is_wrong_is_told_and_disturbs_no_write(sqlite: str, offset: int) -> None:
    with started(f"--clock-offset={offset}") as sandbox:
        async with gateway(sqlite) as client:
            await connect(client, sandbox.url, method_rules=RULES)
            checked = await client.erp.CheckConnection(erp_pb2.CheckConnectionRequest(name=MAIN))
            assert checked.clock_skew.ToTimedelta().total_seconds() == pytest.approx(offset, abs=5)
            request = create({"name": "skewed"}, "res.partner", request_id=request_id(), fields=["name"])
            made = await client.erp.CreateRecord(request)
            assert made.update_time.ToSeconds() == pytest.approx(time.time() + offset, abs=30)
            change = erp_pb2.UpdateRecordRequest(connection=MAIN, model="res.partner", id=made.id, etag=made.etag)
            change.values.update({"name": "skewed again"})
            await client.erp.UpdateRecord(change)
            with pytest.raises(SutlerError) as caught:
                await client.erp.UpdateRecord(change)
            assert caught.value.code is Code.ABORTED
            assert (await client.erp.CreateRecord(request)).id == made.id


def _among(ids: Sequence[int]) -> ListValue:
    return to_value(["&", ["id", "in", list(ids)], ["name", "=", "Alder Hosting"]]).list_value


async def _ask(client: Sutler, asking: Any) -> None:
    answer = getattr(client.erp, type(asking).__name__.removesuffix("Request"))(asking)
    if isinstance(asking, erp_pb2.ExportRecordsRequest):
        async for _ in answer:
            pass
    else:
        await answer


def _with_field(name: str) -> Callable[[Reply], Reply]:
    def change(reply: Reply) -> Reply:
        answer = json.loads(reply.body)
        answer["result"][name] = {"type": "char", "string": name, "store": True}
        return replace(reply, body=json.dumps(answer).encode())

    return change


async def _read_anew(client: Sutler, model: str) -> None:
    await client.erp.DescribeModel(erp_pb2.DescribeModelRequest(connection=MAIN, model=model, read_options=ANEW))
