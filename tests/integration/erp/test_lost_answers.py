"""Writes whose answers are lost: done once, found again, or known to be unknown."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import uuid
from pathlib import Path

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import (
    AlreadyExists,
    Conflict,
    Invalid,
    NotFound,
    Unavailable,
)
from sutler.testing import wait_until
from sutler.wire import from_struct, from_value, to_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, RULES, connect, gateway
from tests.integration.erp.requests import call, create, entries, request_id, update
from tests.integration.erp.servers import Proxy, Reply


async def test_a_create_whose_answer_is_lost_is_found_by_its_key(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    server.lose("load")
    made = await client.erp.CreateRecord(create({"name": "lost once", "ref": "lost-create"}, "res.partner"))
    assert sandbox.call("res.partner", "search", [["ref", "=", "lost-create"]]) == [made.id]
    assert server.count("load") == 1


async def test_a_repeat_after_every_answer_was_lost_finds_the_first(
    sqlite: str, lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    request = create({"name": "lost", "ref": "lost-all", "child_ids": {"create": [{"name": "child"}]}}, "res.partner")
    request.request_id = request_id()
    server.lose("load")
    server.replace("search_read", Reply(silent=True), 3, after=1)
    with pytest.raises(Unavailable):
        await client.erp.CreateRecord(request)
    made = await client.erp.CreateRecord(request)
    assert await client.erp.CreateRecord(request) == made
    assert sandbox.call("res.partner", "search", [["ref", "=", "lost-all"]]) == [made.id]
    assert sandbox.call("res.partner", "search_count", [["parent_id", "=", made.id]]) == 1
    assert entries(sqlite) == []


async def test_concurrent_repeats_create_one_record(erp: Sutler, sandbox: SandboxProcess) -> None:
    request = create({"name": "together", "ref": "together"}, "res.partner", request_id=request_id())
    made = await asyncio.gather(*(erp.erp.CreateRecord(request) for _ in range(5)))
    assert len({one.id for one in made}) == 1
    assert sandbox.call("res.partner", "search_count", [["ref", "=", "together"]]) == 1
    request.values.update({"name": "another"})
    with pytest.raises(Invalid) as caught:
        await erp.erp.CreateRecord(request)
    assert caught.value.reason == "REQUEST_ID_REUSED"


async def test_an_external_id_must_be_free_and_is_found(erp: Sutler, sandbox: SandboxProcess) -> None:
    key = f"shop.anna-{uuid.uuid4().hex[:6]}"
    made = await erp.erp.CreateRecord(create({"name": "Anna"}, "res.partner", external_id=key))
    assert made.external_id == key
    with pytest.raises(AlreadyExists):
        await erp.erp.CreateRecord(create({"name": "Anna"}, "res.partner", external_id=key))
    child = await erp.erp.CreateRecord(
        create({"name": "Kid", "parent_id": {"external_id": key}}, "res.partner", fields=["parent_id", "external_id"])
    )
    assert from_struct(child.values)["parent_id"]["id"] == made.id
    with pytest.raises(Invalid) as caught:
        await erp.erp.CreateRecord(create({"name": "x", "parent_id": {"external_id": "no.such"}}, "res.partner"))
    assert caught.value.reason == "VALUE_INVALID"


async def test_a_create_without_a_key_is_unknown_when_its_answer_is_lost(
    sqlite: str, lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    # A reference of two kinds of links is more than a table of texts can say, so no key goes with it.
    values = {"name": "unkeyed", "ref": "unkeyed", "category_id": {"add": [1], "remove": [2]}}
    request = create(values, "res.partner", request_id=request_id())
    server.lose("create")
    with pytest.raises(Conflict) as caught:
        await client.erp.CreateRecord(request)
    assert caught.value.reason == "OUTCOME_UNKNOWN"
    journal = caught.value.metadata["journal"]
    with pytest.raises(Conflict) as again:
        await client.erp.CreateRecord(request)
    assert (again.value.reason, again.value.metadata["journal"]) == ("OUTCOME_UNKNOWN", journal)
    assert server.count("create") == 1
    assert sandbox.call("res.partner", "search_count", [["ref", "=", "unkeyed"]]) == 1

    found = await client.erp.GetTransaction(erp_pb2.GetTransactionRequest(name=journal))
    assert found.state == erp_pb2.Transaction.STATE_OUTCOME_UNKNOWN
    assert (found.method, found.request_id) == ("CreateRecord", request.request_id)
    assert from_struct(found.steps[0].create_record.values)["ref"] == "unkeyed"
    listed = await client.erp.ListTransactions(
        erp_pb2.ListTransactionsRequest(parent=MAIN, filter="state = STATE_OUTCOME_UNKNOWN")
    )
    assert [(one.name, len(one.steps)) for one in listed.transactions] == [(journal, 0)]


async def test_an_update_whose_answer_is_lost_is_looked_at_and_not_repeated(
    sqlite: str, lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    [partner] = sandbox.call("res.partner", "create", [{"name": "before"}])
    server.lose("write")
    await client.erp.UpdateRecord(update(partner, {"name": "after", "color": 3}))
    assert server.count("write") == 1
    server.replace("write", Reply(b"<html>", 502, "text/html"))
    await client.erp.UpdateRecord(update(partner, {"name": "third"}))
    assert server.count("write") == 3
    assert sandbox.call("res.partner", "read", [partner], ["name"])[0]["name"] == "third"
    server.replace("write", Reply(silent=True), 3)
    with pytest.raises(Unavailable):
        await client.erp.UpdateRecord(update(partner, {"name": "fourth"}, request_id=(same := request_id())))
    await client.erp.UpdateRecord(update(partner, {"name": "fourth"}, request_id=same))
    assert sandbox.call("res.partner", "read", [partner], ["name"])[0]["name"] == "fourth"
    assert entries(sqlite) == []


async def test_what_was_written_is_known_whatever_form_it_was_given_in(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    tags = sandbox.call("res.partner.category", "search_read", [], ["id"], limit=1)
    [partner] = sandbox.call("res.partner", "create", [{"name": "before"}])
    server.lose("write")
    await client.erp.UpdateRecord(update(partner, {"comment": "", "category_id": [{"id": tags[0]["id"]}]}))
    assert server.count("write") == 1
    assert sandbox.call("res.partner", "read", [partner], ["category_id"])[0]["category_id"] == [tags[0]["id"]]


async def test_a_repeat_of_an_update_knows_its_own_write_behind_an_etag(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    [partner] = sandbox.call("res.partner", "create", [{"name": "guarded"}])
    await client.erp.UpdateConnection(
        erp_pb2.UpdateConnectionRequest(
            connection=erp_pb2.Connection(name=MAIN, retry_policy=erp_pb2.RetryPolicy(max_attempts=1))
        )
    )
    known = await client.erp.GetRecord(
        erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=partner, fields=["name", "ref"])
    )
    request = update(partner, {"ref": "mine"}, etag=known.etag, request_id=request_id())
    server.lose("write")
    with pytest.raises(Unavailable):
        await client.erp.UpdateRecord(request)
    await client.erp.UpdateRecord(request)
    assert server.count("write") == 1
    with pytest.raises(Conflict) as caught:
        await client.erp.UpdateRecord(update(partner, {"ref": "other"}, etag=known.etag))
    assert caught.value.reason == "ETAG_MISMATCH"


async def test_an_update_that_creates_lines_is_never_repeated(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    [partner] = sandbox.call("res.partner", "create", [{"name": "parent"}])
    server.lose("write")
    with pytest.raises(Conflict) as caught:
        await client.erp.UpdateRecord(update(partner, {"child_ids": {"create": [{"name": "child"}]}}))
    assert caught.value.reason == "OUTCOME_UNKNOWN"
    assert sandbox.call("res.partner", "search_count", [["parent_id", "=", partner]]) == 1


async def test_a_delete_whose_answer_is_lost_has_happened(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    [partner] = sandbox.call("res.partner", "create", [{"name": "gone"}])
    delete = erp_pb2.DeleteRecordRequest(connection=MAIN, model="res.partner", id=partner, request_id=request_id())
    server.lose("unlink")
    await client.erp.DeleteRecord(delete)
    await client.erp.DeleteRecord(delete)
    assert server.count("unlink") == 1


async def test_methods_are_called_once_and_read_only_ones_again(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    [order] = sandbox.call("sale.order", "create", [{"partner_id": 10}])
    server.lose("action_confirm")
    request = call("action_confirm", order, request_id=request_id())
    for _ in range(2):
        with pytest.raises(Conflict) as caught:
            await client.erp.CallMethod(request)
        assert caught.value.reason == "OUTCOME_UNKNOWN"
    assert server.count("action_confirm") == 1
    server.lose("context_get")
    got = await client.erp.CallMethod(
        erp_pb2.CallMethodRequest(connection=MAIN, model="res.users", method="context_get")
    )
    assert from_value(got.result)["uid"] == 2
    assert server.count("context_get") == 2
    nothing = await client.erp.CallMethod(call("action_lock", order))
    assert nothing.result.WhichOneof("kind") == "null_value"


async def test_what_a_killed_process_left_open_is_unknown(sqlite: str, sandbox: SandboxProcess, tmp_path: Path) -> None:
    """A journal as a process leaves it that dies between the question and the answer."""
    once = request_id()
    request = call("action_confirm", 3, request_id=once)
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url, method_rules=RULES)
        await client.erp.CallMethod(call("action_confirm", 3, validate_only=True))
        with sqlite3.connect(sqlite.removeprefix("sqlite:///")) as store:
            uid = store.execute("SELECT uid FROM connections").fetchone()[0]
            digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
            store.execute(
                "INSERT INTO journal VALUES ('e1', 'default', 'main', ?, ?, 'call_method', 'sale.order', '[3]',"
                ' \'{"method": "action_confirm", "positional": [], "named": {}}\', \'[]\', 0, \'CallMethod\', ?, ?,'
                " 'anonymous', 'admin', 'corr', 'dead', 1.0, 'RUNNING', 1.0, 1.0, NULL, x'', 1)",
                (uid, f"{MAIN}/transactions/e1", once, digest),
            )

        async def settled() -> bool:
            found = await client.erp.GetTransaction(erp_pb2.GetTransactionRequest(name=f"{MAIN}/transactions/e1"))
            return found.state == erp_pb2.Transaction.STATE_OUTCOME_UNKNOWN

        with pytest.raises(Conflict) as caught:
            await client.erp.CallMethod(request)
        assert caught.value.reason == "OUTCOME_UNKNOWN"
        await wait_until(settled, 20)
        assert sandbox.call("sale.order", "read", [3], ["state"])[0]["state"] == "draft"


async def test_one_request_id_in_two_methods_creates_two_records(erp: Sutler, sandbox: SandboxProcess) -> None:
    used = request_id()
    first = await erp.erp.CreateRecord(create({"name": "First", "email": "a@x"}, "res.partner", request_id=used))
    batch = erp_pb2.BatchCreateRecordsRequest(
        connection=MAIN,
        model="res.partner",
        rows=[erp_pb2.RecordInput(values=to_struct({"name": "Second"}))],
        request_id=used,
    )
    [second] = (await erp.erp.BatchCreateRecords(batch)).records
    assert second.id != first.id
    assert sandbox.call("res.partner", "read", [first.id, second.id], ["name"]) == [
        {"id": first.id, "name": "First"},
        {"id": second.id, "name": "Second"},
    ]


async def test_a_key_that_the_erp_has_is_never_written_again(sqlite: str, erp: Sutler, sandbox: SandboxProcess) -> None:
    batch = erp_pb2.BatchCreateRecordsRequest(
        connection=MAIN,
        model="res.partner",
        rows=[erp_pb2.RecordInput(values=to_struct({"name": f"row {i}"})) for i in range(3)],
        fields=["name"],
        request_id=request_id(),
    )
    made = [one.id for one in (await erp.erp.BatchCreateRecords(batch)).records]
    sandbox.call("res.partner", "write", [made[0]], {"name": "changed since"})
    _forget_requests(sqlite)
    again = (await erp.erp.BatchCreateRecords(batch)).records
    assert [(one.id, from_struct(one.values)["name"]) for one in again] == [
        (made[0], "changed since"),
        (made[1], "row 1"),
        (made[2], "row 2"),
    ]
    sandbox.call("res.partner", "unlink", [made[0]])
    _forget_requests(sqlite)
    with pytest.raises(NotFound) as caught:
        await erp.erp.BatchCreateRecords(batch)
    assert caught.value.metadata["rows"] == "0"
    assert sandbox.call("res.partner", "search", [["id", ">=", made[0]], ["name", "like", "row"]]) == made[1:]


def _forget_requests(data: str) -> None:
    """Does what the end of their retention does."""
    with sqlite3.connect(data.removeprefix("sqlite:///")) as store:
        assert store.execute("DELETE FROM requests").rowcount
