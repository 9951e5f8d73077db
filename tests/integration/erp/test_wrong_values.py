"""Numbers and times that are none: every way to write tells which value it is, and nothing is written."""

from __future__ import annotations

from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import Invalid
from sutler.wire import to_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN
from tests.integration.erp.imports import Stream, chunk, in_erp, new_import_id, opening
from tests.integration.erp.requests import create, update

WRONG: list[dict[str, Any]] = [
    {"color": "--5"},
    {"color": "1" * 30},
    {"partner_latitude": "nan"},
    {"partner_latitude": "1_000"},
]
TIMES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "0900-01-01T00:00:00Z"]


def a_row(values: dict[str, Any], **more: Any) -> pb.RecordInput:
    return pb.RecordInput(values=to_struct(values), **more)


@pytest.mark.parametrize("values", WRONG, ids=str)
async def test_a_wrong_value_is_told_by_every_way_to_write(
    erp: Sutler, sandbox: SandboxProcess, values: dict[str, Any]
) -> None:
    [field] = values
    [one] = sandbox.call("res.partner", "create", [{"name": "Valued", "color": 3, "partner_latitude": 7.5}])
    named = {"name": "Nobody", **values}
    batch = pb.BatchUpdateRecordsRequest(
        connection=MAIN, model="res.partner", rows=[pb.RecordUpdate(id=one, values=to_struct(values))]
    )
    for call in (
        erp.erp.UpdateRecord(update(one, values)),
        erp.erp.CreateRecord(create(named, "res.partner")),
        erp.erp.BatchUpdateRecords(batch),
        erp.erp.BatchCreateRecords(
            pb.BatchCreateRecordsRequest(connection=MAIN, model="res.partner", rows=[a_row(named)])
        ),
        erp.erp.UpsertRecords(
            pb.UpsertRecordsRequest(
                connection=MAIN, model="res.partner", rows=[a_row({"ref": "r1", **named})], key_fields=["ref"]
            )
        ),
        erp.erp.UpsertRecords(
            pb.UpsertRecordsRequest(connection=MAIN, model="res.partner", rows=[a_row(named)], key_fields=[field])
        ),
    ):
        with pytest.raises(Invalid) as caught:
            await call
        [violation] = caught.value.violations
        assert (violation.field.rpartition(".")[2], violation.reason) == (field, "VALUE_INVALID")
    assert sandbox.call("res.partner", "read", [one], ["color", "partner_latitude"]) == [
        {"id": one, "color": 3, "partner_latitude": 7.5}
    ]


@pytest.mark.parametrize("text", TIMES)
async def test_a_time_beyond_what_an_erp_writes_is_refused(erp: Sutler, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        await erp.erp.CreateRecord(create({"partner_id": 10, "date_order": text}))
    assert caught.value.reason == "VALUE_INVALID"
    search = pb.SearchRecordsRequest(connection=MAIN, model="sale.order", filter=f'date_order > "{text}"')
    with pytest.raises(Invalid) as found:
        await erp.erp.SearchRecords(search)
    assert found.value.reason == "FILTER_INVALID"


async def test_a_wrong_value_spoils_its_own_row_of_an_import(erp: Sutler, sandbox: SandboxProcess) -> None:
    mark = new_import_id()
    rows = [{"name": f"{mark} {n}", "ref": mark, "color": "--5" if n == 1 else n} for n in range(3)]
    async with Stream(erp, opening(mark)) as stream:
        await stream.answer()
        answer = await stream.send(chunk(0, rows))
        assert [bool(one.record.id) for one in answer.results] == [True, False, True]
        await stream.end()
    assert in_erp(sandbox, mark) == [f"{mark} 0", f"{mark} 2"]
