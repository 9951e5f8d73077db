"""Imports that change what they find: by external id or key fields, each row with its own result."""

from __future__ import annotations

from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import SutlerError, Unavailable
from sutler.status import from_status

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.imports import (
    CREATED,
    UNCHANGED,
    UPDATED,
    chunk,
    get_import,
    in_erp,
    new_import_id,
    opening,
    partners,
    run,
)
from tests.integration.erp.servers import Proxy, Reply

UPSERT = erp_pb2.Import.MODE_UPSERT


def outcomes(answers: list[erp_pb2.ImportRecordsResponse]) -> list[int]:
    return [result.outcome for one in answers for result in one.results]


async def test_rows_find_their_records_by_external_id(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, proxy = lossy
    mark = new_import_id()
    rows = partners(mark, 0, 6)
    keys = [f"{mark}.{index}" for index in range(6)]
    made = await run(client, opening(mark, mode=UPSERT), chunk(0, rows, keys))
    assert outcomes(made) == [CREATED] * 6
    for row in rows[2:5]:
        row["comment"] = "<p>changed</p>"
    rows[5]["name"] = f"{mark} five"
    proxy.calls.clear()
    again = await run(client, opening(new_import_id(), mode=UPSERT), chunk(0, rows, keys))
    assert outcomes(again) == [UNCHANGED, UNCHANGED, UPDATED, UPDATED, UPDATED, UPDATED]
    assert [one.record.id for one in again[1].results] == [one.record.id for one in made[1].results]
    assert [one.record.external_id for one in again[1].results] == keys
    assert proxy.count("write") == 4 and proxy.count("load") == 0
    assert in_erp(sandbox, mark) == [*(f"{mark} {index}" for index in range(5)), f"{mark} five"]
    last = again[-1].progress
    assert (last.created_count, last.updated_count, last.unchanged_count) == (0, 4, 2)


async def test_rows_find_their_records_by_key_fields(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, proxy = lossy
    mark = new_import_id()
    stars = {"name": f"{mark} *", "ref": mark, "city": "A*"}
    sandbox.call("res.partner", "create", [{**one, "city": "Ghent"} for one in partners(mark, 0, 2)])
    twice = {"name": f"{mark} twice", "ref": mark, "parent_id": 10}
    sandbox.call("res.partner", "create", [twice, twice, {**stars, "name": f"{mark} %"}])
    rows: list[dict[str, Any]] = [
        {"name": f"{mark} 0", "ref": mark, "city": "Ghent"},
        {"name": f"{mark} 1", "ref": mark, "city": "Bruges"},
        {"name": f"{mark} 2", "ref": mark, "city": "Bruges"},
        {"name": f"{mark} twice", "ref": mark},
        {"name": f"{mark} 1", "ref": mark},
        {"ref": mark},
        stars,
    ]
    proxy.calls.clear()
    first = opening(mark, mode=UPSERT, key_fields=["ref", "name"])
    answers = await run(client, first, chunk(0, rows), chunk(7, [{**rows[2], "city": "Lier"}, rows[1]]))
    assert outcomes(answers) == [UNCHANGED, 0, CREATED, 0, 0, 0, CREATED, UPDATED, UPDATED]
    failed = {one.index: from_status(one.status) for one in (await get_import(client, mark)).failed_rows}
    assert {index: error.reason for index, error in failed.items()} == {
        1: "KEY_NOT_UNIQUE",
        3: "KEY_NOT_UNIQUE",
        4: "KEY_NOT_UNIQUE",
        5: "VALUE_MISSING",
    }
    assert len(failed[3].metadata["ids"].split(", ")) == 2 and failed[4].metadata["rows"] == "1, 4"
    found = sandbox.call("res.partner", "search_read", [["ref", "=", mark]], fields=["name", "city"], order="id")
    assert [(one["name"], one["city"]) for one in found] == [
        (f"{mark} 0", "Ghent"),
        (f"{mark} 1", "Bruges"),
        (f"{mark} twice", False),
        (f"{mark} twice", False),
        (f"{mark} %", "A*"),
        (f"{mark} 2", "Lier"),
        (f"{mark} *", "A*"),
    ]


async def test_a_lost_answer_or_a_broken_stream_changes_nothing_twice(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, proxy = lossy
    mark = new_import_id()
    sandbox.call("res.partner", "create", partners(mark, 0, 3))
    rows: list[dict[str, Any]] = [{**one, "city": "Ghent"} for one in partners(mark, 0, 6)]
    rows[1]["child_ids"] = {"create": [{"name": f"child {mark}"}]}
    first = opening(mark, mode=UPSERT, key_fields=["ref", "name"])
    proxy.lose("write", 2)
    proxy.lose("load")
    proxy.replace("search_read", Reply(silent=True), 3, after=1)
    with pytest.raises(Unavailable):
        await run(client, first, chunk(0, rows))
    answers = await run(client, first, chunk(0, rows[:4]), chunk(4, rows[4:]))
    results = [result for one in answers for result in one.results]
    assert not [from_status(one.status) for one in results if one.HasField("status")]
    assert results[1].outcome == UPDATED
    assert sandbox.call("res.partner", "search_count", [["name", "=", f"child {mark}"]]) == 1
    assert in_erp(sandbox, mark) == [f"{mark} {index}" for index in range(6)]
    assert sandbox.call("res.partner", "search_count", [["ref", "=", mark], ["city", "=", "Ghent"]]) == 6


async def test_a_change_that_cannot_be_repeated_is_unknown_if_its_answer_is_lost(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, proxy = lossy
    mark = new_import_id()
    sandbox.call("res.partner", "create", partners(mark, 0, 1))
    row = {"name": f"{mark} 0", "ref": mark, "child_ids": {"create": [{"name": f"child {mark}"}]}}
    proxy.lose("write")
    answers = await run(client, opening(mark, mode=UPSERT, key_fields=["ref"]), chunk(0, [row]))
    assert from_status(answers[1].results[0].status).reason == "OUTCOME_UNKNOWN"
    assert sandbox.call("res.partner", "search_count", [["name", "=", f"child {mark}"]]) == 1


async def test_keys_are_fields_of_the_model_itself(erp: Sutler) -> None:
    for field, reason in (("colour", "FIELD_NOT_FOUND"), ("parent_id.name", "VALUE_INVALID")):
        with pytest.raises(SutlerError) as refused:
            await run(erp, opening("a", mode=UPSERT, key_fields=[field]))
        assert refused.value.reason == reason
    answers = await run(erp, opening(new_import_id(), mode=UPSERT), chunk(0, partners("x", 0, 1)))
    assert from_status(answers[1].results[0].status).reason == "VALUE_MISSING"
