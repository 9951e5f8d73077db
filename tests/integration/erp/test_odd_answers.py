"""Answers of an ERP that are none: told as such, and a write whose answer is one of them may have happened."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import Conflict, SutlerError, Unavailable
from sutler.wire import duration

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN
from tests.integration.erp.requests import create, entries, request_id
from tests.integration.erp.servers import Proxy, Reply, result

Lossy = tuple[Sutler, Proxy]
ANEW = pb.ReadOptions(max_staleness=duration(0))
FIELDS = ["name", "partner_id", "date_order", "amount_total", "order_line"]
TIMES = {"create_date": "2026-01-01 00:00:00", "write_date": "2026-01-01 00:00:00"}
GOOD = {"id": 6, "name": "S1", "partner_id": [10, "A"], "date_order": False, "amount_total": 1.0, "order_line": [1]}
ROWS: list[Any] = [
    {},
    {"id": 6},
    {"id": "x"},
    *({**GOOD, "id": one} for one in (None, True, -5, 10**30, "6")),
    *({**GOOD, "partner_id": one} for one in ([10], "x", [10, "A", 1], ["x", "A"], {"id": 10})),
    *({**GOOD, "order_line": one} for one in (5, ["a"], "12", [None])),
    *({**GOOD, "date_order": one} for one in ("garbage", 5, "2026-01-01")),
    *({**GOOD, "amount_total": one} for one in ("x", [1], True)),
    {**GOOD, "write_date": "garbage"},
]


async def test_a_row_that_is_no_record_is_told(lossy: Lossy) -> None:
    client, proxy = lossy
    read = pb.GetRecordRequest(connection=MAIN, model="sale.order", id=6, fields=FIELDS, read_options=ANEW)
    search = pb.SearchRecordsRequest(connection=MAIN, model="sale.order", fields=FIELDS, read_options=ANEW)
    for method, call, request in (
        ("read", client.erp.GetRecord, read),
        ("search_read", client.erp.SearchRecords, search),
    ):
        for row in ROWS:
            proxy.replace(method, result([TIMES | row]))
            with pytest.raises(Unavailable) as caught:
                await call(request)
            assert caught.value.reason == "ERP_ANSWER_INVALID", row
    proxy.replace("read", result([TIMES | GOOD]))
    assert (await client.erp.GetRecord(read)).values["name"] == "S1"


@pytest.mark.parametrize(
    ("method", "call", "answers"),
    [
        ("name_search", lambda s: s.erp.SearchNames(pb.SearchNamesRequest(connection=MAIN, model="res.partner")),
         [[[1]], [["x", "A"]], [[1, "A", 2]]]),
        ("fields_get", lambda s: s.erp.DescribeModel(pb.DescribeModelRequest(connection=MAIN, model="res.bank")),
         [{"name": {}}, {"name": {"type": "selection", "selection": [1]}}]),
        ("read_group", lambda s: s.erp.AggregateRecords(
            pb.AggregateRecordsRequest(connection=MAIN, model="sale.order", groupings=[pb.Grouping(field="state")])),
         [[{}], [{"state": "draft", "__count": "x"}]]),
    ],
)  # fmt: skip
async def test_other_answers_of_another_shape_are_told(
    lossy: Lossy, method: str, call: Any, answers: list[Any]
) -> None:
    client, proxy = lossy
    for answer in answers:
        proxy.replace(method, result(answer), times=3)
        with pytest.raises(Unavailable) as caught:
            await call(client)
        assert caught.value.reason == "ERP_ANSWER_INVALID"
        proxy.instead.clear()


LOADS: list[Any] = [
    {"ids": "x"}, {"ids": [1, 2]}, {"ids": []}, {"ids": ["a"]}, {"ids": False}, {"ids": [None]},
    {"messages": "x"}, {"ids": False, "messages": [5]}, {"ids": False, "messages": [{"type": "warning"}]},
]  # fmt: skip


async def test_a_create_whose_answer_is_none_is_found_by_its_key(lossy: Lossy, sandbox: SandboxProcess) -> None:
    client, proxy = lossy
    for answer in LOADS:
        ref = request_id()
        proxy.alter("load", partial(_with, answer))
        made = await client.erp.CreateRecord(create({"name": "odd", "ref": ref}, "res.partner", request_id=ref))
        assert sandbox.call("res.partner", "search", [["ref", "=", ref]]) == [made.id], answer


async def test_odd_messages_of_a_refused_create_are_refusals(lossy: Lossy) -> None:
    client, proxy = lossy
    for message in ({"record": "a"}, {"record": 77, "message": 5}, {"rows": 3}, {}):
        proxy.replace("load", result({"ids": False, "messages": [{"type": "error", **message}]}))
        with pytest.raises(SutlerError) as caught:
            await client.erp.CreateRecord(create({"name": "odd"}, "res.partner", request_id=request_id()))
        assert caught.value.reason == "ERP_RULE_VIOLATED", message


async def test_a_create_without_a_key_whose_answer_is_none_is_in_the_journal(sqlite: str, lossy: Lossy) -> None:
    client, proxy = lossy
    values = {"name": "odd", "child_ids": {"create": [{"name": "a"}, {"ref": "b"}]}}  # a table cannot say that
    answers: list[Any] = [[1, 2], [], ["x"], 0, [-1]]
    for answer in answers:
        proxy.replace("create", result(answer))
        with pytest.raises(Conflict) as caught:
            await client.erp.CreateRecord(create(values, "res.partner"))
        assert caught.value.reason == "OUTCOME_UNKNOWN", answer
    assert [state for state, _ in entries(sqlite)] == ["OUTCOME_UNKNOWN"] * len(answers)


async def test_a_result_without_the_number_of_its_call_is_of_another(lossy: Lossy) -> None:
    client, proxy = lossy
    body = json.dumps({"jsonrpc": "2.0", "id": None, "result": [TIMES | GOOD]}, separators=(",", ":")).encode()
    proxy.replace("read", Reply(body), times=3)
    with pytest.raises(Unavailable) as caught:
        await client.erp.GetRecord(pb.GetRecordRequest(connection=MAIN, model="sale.order", id=6, fields=FIELDS))
    assert caught.value.metadata["cause"] == "not an answer to this call"


def _with(value: Any, reply: Reply) -> Reply:
    """Returns an answer to the same call with another result."""
    return replace(reply, body=json.dumps({**json.loads(reply.body), "result": value}).encode())
