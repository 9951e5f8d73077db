"""Many records at once, through a real server: all or none, in order, and nothing row by row."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Conflict, FailedPrecondition, Invalid, NotFound, SutlerError
from sutler.wire import from_struct, to_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.requests import entries, request_id
from tests.integration.erp.servers import Proxy, Reply, failure
from tests.integration.erp.transactions import State, get, states

CREATED, UPDATED, UNCHANGED = (
    erp_pb2.RowResult.OUTCOME_CREATED,
    erp_pb2.RowResult.OUTCOME_UPDATED,
    erp_pb2.RowResult.OUTCOME_UNCHANGED,
)


def partners(sandbox: SandboxProcess, count: int, **values: Any) -> list[int]:
    return list(sandbox.call("res.partner", "create", [{"name": f"p{i}", **values} for i in range(count)]))


def colours(sandbox: SandboxProcess, ids: list[int]) -> list[int]:
    found = {row["id"]: row["color"] for row in sandbox.call("res.partner", "read", ids, ["color"])}
    return [found[one] for one in ids]


def updates(rows: list[tuple[int, dict[str, Any]]], **more: Any) -> erp_pb2.BatchUpdateRecordsRequest:
    changes = [erp_pb2.RecordUpdate(id=one, values=to_struct(values)) for one, values in rows]
    return erp_pb2.BatchUpdateRecordsRequest(connection=MAIN, model="res.partner", rows=changes, **more)


def deletion(*ids: int, model: str = "res.partner", **more: Any) -> erp_pb2.BatchDeleteRecordsRequest:
    return erp_pb2.BatchDeleteRecordsRequest(connection=MAIN, model=model, ids=ids, **more)


def upsert(*rows: dict[str, Any], model: str = "res.partner", **more: Any) -> erp_pb2.UpsertRecordsRequest:
    given = [
        erp_pb2.RecordInput(
            values=to_struct({k: v for k, v in row.items() if k != "xid"}), external_id=row.get("xid", "")
        )
        for row in rows
    ]
    return erp_pb2.UpsertRecordsRequest(connection=MAIN, model=model, rows=given, **more)


def unique(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def test_rows_with_the_same_values_are_one_write(
    sqlite: str, lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    ids = partners(sandbox, 5)
    server.lose("write")
    request = updates([(one, {"color": 4}) for one in reversed(ids)], fields=["color"], request_id=request_id())
    done = await client.erp.BatchUpdateRecords(request)
    assert [one.id for one in done.records] == ids[::-1]
    assert {from_struct(one.values)["color"] for one in done.records} == {4}
    assert (done.transaction, server.count("write"), entries(sqlite)) == ("", 1, [])
    assert await client.erp.BatchUpdateRecords(request) == done
    assert server.count("write") == 1


async def test_different_rows_are_a_transaction(database: str, sandbox: SandboxProcess) -> None:
    ids = partners(sandbox, 4, color=1)
    async with gateway(database) as client:
        await connect(client, sandbox.url)
        rows = [(one, {"color": 2 + index % 3}) for index, one in enumerate(ids)]
        request = updates(rows, request_id=request_id())
        done = await client.erp.BatchUpdateRecords(request)
        journal = await get(client, done.transaction)
        assert (journal.method, journal.state) == ("BatchUpdateRecords", State.STATE_SUCCEEDED)
        assert [(one.step_id, one.record_id) for one in journal.steps] == [
            ("1", ids[0]), ("4", ids[3]), ("2", ids[1]), ("3", ids[2]),
        ]  # fmt: skip
        assert await client.erp.BatchUpdateRecords(request) == done
        assert colours(sandbox, ids) == [2, 3, 4, 2]

        wrong = [(ids[0], {"color": 7}), (ids[1], {"color": 8}), (ids[2], {"parent_id": ids[2]})]
        with pytest.raises(FailedPrecondition) as caught:
            await client.erp.BatchUpdateRecords(updates(wrong))
        assert (caught.value.reason, caught.value.metadata["rows"]) == ("ERP_RULE_VIOLATED", "2")
        assert colours(sandbox, ids) == [2, 3, 4, 2]
        listed = await client.erp.ListTransactions(
            erp_pb2.ListTransactionsRequest(parent=MAIN, filter="state = UNDONE")
        )
        assert states(await get(client, listed.transactions[0].name)) == ["UNDONE", "UNDONE", "FAILED"]


async def test_old_values_of_a_batch_are_read_together(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    ids = partners(sandbox, 30, color=1)
    await client.erp.BatchUpdateRecords(updates([(ids[0], {"color": 1})]))
    reads, writes = server.count("read"), server.count("write")
    rows: list[tuple[int, dict[str, Any]]] = [(one, {"color": index + 2}) for index, one in enumerate(ids)]
    await client.erp.BatchUpdateRecords(updates(rows))
    assert (server.count("read") - reads, server.count("write") - writes) == (1, 30)
    assert colours(sandbox, ids) == list(range(2, 32))
    rows = [(one, {"name": f"n{index}"}) for index, one in enumerate(ids)]
    with pytest.raises(FailedPrecondition):
        await client.erp.BatchUpdateRecords(updates([*rows[:-1], (ids[-1], {"parent_id": ids[-1]})]))
    assert [row["name"] for row in sandbox.call("res.partner", "read", ids, ["name"])] == [f"p{i}" for i in range(30)]


@pytest.mark.parametrize(
    ("rows", "kind", "reason", "place", "writes"),
    [
        ([{"color": 1}, {"colour": 1}, {"color": "red"}], Invalid, "ROWS_INVALID", "rows[1].values.colour", 0),
        ([{"color": 1}, {"country_id": 987_654}], FailedPrecondition, "REFERENCE_MISSING", "", 3),
    ],
)
async def test_a_refused_batch_changes_nothing(
    lossy: tuple[Sutler, Proxy],
    sandbox: SandboxProcess,
    rows: list[dict[str, Any]],
    kind: type[SutlerError],
    reason: str,
    place: str,
    writes: int,
) -> None:
    client, server = lossy
    ids = partners(sandbox, len(rows))
    with pytest.raises(kind) as caught:
        await client.erp.BatchUpdateRecords(updates(list(zip(ids, rows, strict=True))))
    assert caught.value.reason == reason
    assert [one.field for one in caught.value.violations][:1] == [place] * bool(place)
    assert colours(sandbox, ids) == [0] * len(ids)
    assert server.count("write") == writes


async def test_a_batch_stops_before_its_first_write_if_an_etag_does_not_hold(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    ids = partners(sandbox, 3)
    read = erp_pb2.BatchGetRecordsRequest(connection=MAIN, model="res.partner", ids=ids, fields=["color"])
    etags = [one.etag for one in (await client.erp.BatchGetRecords(read)).records]
    request = updates([(one, {"color": index + 1}) for index, one in enumerate(ids)])
    for row, etag in zip(request.rows, etags, strict=True):
        row.etag = etag
    sandbox.call("res.partner", "write", [ids[2]], {"color": 9})
    with pytest.raises(Conflict) as caught:
        await client.erp.BatchUpdateRecords(request)
    assert (caught.value.reason, caught.value.metadata["rows"], server.count("write")) == ("ETAG_MISMATCH", "2", 0)
    request.rows[2].etag = ""
    await client.erp.BatchUpdateRecords(request)
    assert colours(sandbox, ids) == [1, 2, 3]


async def test_records_go_together_or_not_at_all(
    sqlite: str, lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    ids = partners(sandbox, 4)
    with pytest.raises(NotFound) as caught:
        await client.erp.BatchDeleteRecords(deletion(ids[0], 987_654))
    assert caught.value.metadata["ids"] == "987654"
    sandbox.call("sale.order", "create", [{"partner_id": ids[0]}])
    with pytest.raises(FailedPrecondition) as caught:
        await client.erp.BatchDeleteRecords(deletion(*ids))
    assert caught.value.reason == "RECORD_REFERENCED"
    assert sandbox.call("res.partner", "search_count", [["id", "in", ids]]) == 4
    server.lose("unlink")
    request = deletion(*ids[1:], 987_654, allow_missing=True, request_id=request_id())
    before = server.count("unlink")
    await client.erp.BatchDeleteRecords(request)
    await client.erp.BatchDeleteRecords(request)
    assert (server.count("unlink") - before, entries(sqlite)) == (1, [])
    assert sandbox.call("res.partner", "search", [["id", "in", ids]]) == ids[:1]


async def test_upserts_by_external_id(database: str, sandbox: SandboxProcess) -> None:
    one, two, three = unique("shop.one"), unique("shop.two"), unique("shop.three")
    async with gateway(database) as client:
        await connect(client, sandbox.url)
        first = upsert({"name": "One", "xid": one}, {"name": "Two", "color": 2, "xid": two}, request_id=request_id())
        told = await client.erp.UpsertRecords(first)
        assert [(each.index, each.outcome) for each in told.results] == [(0, CREATED), (1, CREATED)]
        assert await client.erp.UpsertRecords(first) == told
        second = upsert(
            {"name": "Three", "xid": three},
            {"name": "Two", "color": 2, "xid": two},
            {"name": "One!", "xid": one},
            fields=["name", "external_id"],
        )
        again = await client.erp.UpsertRecords(second)
        assert [each.outcome for each in again.results] == [CREATED, UNCHANGED, UPDATED]
        assert [each.record.id for each in again.results[1:]] == [each.record.id for each in told.results[::-1]]
        assert from_struct(again.results[2].record.values) == {"name": "One!", "external_id": one}
        journal = await get(client, again.transaction)
        assert [(each.step_id, each.WhichOneof("write")) for each in journal.steps] == [
            ("1", "create_record"),
            ("3", "update_record"),
        ]
        third = await client.erp.UpsertRecords(second)
        assert ([each.outcome for each in third.results], third.transaction) == ([UNCHANGED] * 3, "")


async def test_upserts_by_key_fields(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, server = lossy
    ref, other = unique("r"), unique("r*")
    [old] = sandbox.call("res.partner", "create", [{"name": "Old", "ref": ref, "company_id": 1}])
    keys = ["ref", "company_id"]
    rows = [
        {"name": "Old", "ref": ref, "company_id": {"id": 1}, "partner_latitude": "1.50"},
        {"name": "New", "ref": other, "company_id": 1},
    ]
    told = await client.erp.UpsertRecords(upsert(*rows, key_fields=keys, request_id=request_id()))
    assert [each.outcome for each in told.results] == [UPDATED, CREATED]
    assert told.results[0].record.id == old
    searches = server.count("search_read")
    again = await client.erp.UpsertRecords(upsert(*rows, key_fields=keys))
    assert [each.outcome for each in again.results] == [UNCHANGED, UNCHANGED]
    assert server.count("search_read") - searches == 1
    sandbox.call("res.partner", "write", [old], {"active": False})
    hidden = await client.erp.UpsertRecords(upsert(rows[0], key_fields=keys, show_archived=True))
    assert (hidden.results[0].outcome, hidden.results[0].record.id) == (UNCHANGED, old)
    would = await client.erp.UpsertRecords(upsert(rows[0], key_fields=keys, validate_only=True))
    assert [(each.outcome, each.record.id) for each in would.results] == [(CREATED, 0)]


async def test_rows_that_cannot_be_told_apart_are_named(erp: Sutler, sandbox: SandboxProcess) -> None:
    ref = unique("twice")
    ids = partners(sandbox, 2, ref=ref)
    mine = unique("mine")
    with pytest.raises(FailedPrecondition) as caught:
        await erp.erp.UpsertRecords(upsert({"name": "a", "ref": mine}, {"name": "b", "ref": ref}, key_fields=["ref"]))
    assert caught.value.reason == "KEY_NOT_UNIQUE"
    assert caught.value.metadata == {"model": "res.partner", "row": "1", "ids": f"{ids[0]}, {ids[1]}"}
    for rows, more in (
        ([{"name": "a", "xid": mine}, {"name": "b", "xid": mine}], {}),
        ([{"name": "a", "ref": mine}, {"name": "b", "ref": mine}], {"key_fields": ["ref"]}),
    ):
        with pytest.raises(FailedPrecondition) as caught:
            await erp.erp.UpsertRecords(upsert(*rows, **more))
        assert (caught.value.reason, caught.value.metadata["rows"]) == ("KEY_NOT_UNIQUE", "0, 1")
        assert [one.field for one in caught.value.violations] == ["rows[0]", "rows[1]"]
    with pytest.raises(Invalid) as missing:
        await erp.erp.UpsertRecords(upsert({"name": "a", "ref": mine}, {"name": "b"}, key_fields=["ref"]))
    assert (missing.value.reason, missing.value.violations[0].field) == ("ROWS_INVALID", "rows[1].values.ref")
    assert sandbox.call("res.partner", "search_count", [["ref", "=", mine]]) == 0


async def test_faults_of_new_rows_have_their_places_among_all(erp: Sutler, sandbox: SandboxProcess) -> None:
    ref = unique("placed")
    [old] = partners(sandbox, 1, ref=ref, color=1)
    rows = [{"name": "old", "ref": ref}, {"name": "new", "ref": f"{ref}-1"}, {"ref": f"{ref}-2"}]
    with pytest.raises(Invalid) as caught:
        await erp.erp.UpsertRecords(upsert(*rows, key_fields=["ref"]))
    assert (caught.value.reason, caught.value.metadata["rows"]) == ("ROWS_INVALID", "2")
    assert caught.value.violations[0].field.startswith("rows[2].")
    assert sandbox.call("res.partner", "search", [["ref", "like", ref]]) == [old]


async def test_an_external_id_of_another_model_is_refused(erp: Sutler, sandbox: SandboxProcess) -> None:
    mine = unique("mine")
    elsewhere = await erp.erp.UpsertRecords(upsert({"name": "Land", "code": "Q1", "xid": mine}, model="res.country"))
    with pytest.raises(FailedPrecondition) as conflict:
        await erp.erp.UpsertRecords(upsert({"name": "a", "xid": mine}))
    assert conflict.value.reason == "EXTERNAL_ID_CONFLICT"
    sandbox.call("res.country", "unlink", [elsewhere.results[0].record.id])


async def test_concurrent_upserts_of_one_key_create_one_record(erp: Sutler, sandbox: SandboxProcess) -> None:
    ref = unique("same")
    told = await asyncio.gather(
        *(erp.erp.UpsertRecords(upsert({"name": f"n{i}", "ref": ref}, key_fields=["ref"])) for i in range(5))
    )
    assert len({each.results[0].record.id for each in told}) == 1
    assert sorted(each.results[0].outcome for each in told) == [CREATED, *[UPDATED] * 4]
    assert sandbox.call("res.partner", "search_count", [["ref", "=", ref]]) == 1


async def test_an_upsert_that_fails_half_way_is_undone_and_a_repeat_finishes_it(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    ref = unique("half")
    [old] = partners(sandbox, 1, ref=ref, color=1)
    rows = [{"name": "new", "ref": f"{ref}-2"}, {"name": "old", "ref": ref, "color": 5}]
    request = upsert(*rows, key_fields=["ref"], request_id=request_id())
    server.replace("write", failure("odoo.exceptions.UserError", "Not today."))
    with pytest.raises(FailedPrecondition) as caught:
        await client.erp.UpsertRecords(request)
    assert (caught.value.reason, caught.value.metadata["rows"]) == ("ERP_RULE_VIOLATED", "1")
    assert sandbox.call("res.partner", "search", [["ref", "like", ref]]) == [old]
    server.replace("load", Reply(b"<html>", 502, "text/html"))
    told = await client.erp.UpsertRecords(request)
    assert [each.outcome for each in told.results] == [CREATED, UPDATED]
    assert colours(sandbox, [old]) == [5]


async def test_a_thousand_new_records_take_two_calls(lossy: tuple[Sutler, Proxy]) -> None:
    client, server = lossy
    ref = unique("many")
    rows = [erp_pb2.RecordInput(values=to_struct({"name": f"m{i}", "ref": ref, "color": i % 7})) for i in range(1000)]
    request = erp_pb2.BatchCreateRecordsRequest(
        connection=MAIN, model="res.partner", rows=rows, request_id=request_id()
    )
    await client.erp.UpsertRecords(upsert({"name": "warm", "ref": ref}, key_fields=["ref"]))
    before = len(server.calls)
    made = await client.erp.BatchCreateRecords(request)
    assert len({one.id for one in made.records}) == 1000
    assert [one.method for one in server.calls[before:] if one.model] == ["search_read", "load"]
