"""Batches with keys whose rows have different fields: several calls to the ERP, all or none, and its defaults kept."""

from __future__ import annotations

from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Conflict, Invalid, SutlerError
from sutler.wire import to_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN
from tests.integration.erp.requests import LINES, create, request_id
from tests.integration.erp.servers import Proxy, failure

FOREIGN_KEY = (
    "odoo.exceptions.ValidationError",
    "The operation cannot be completed: another model requires the record being deleted.\n\nConstraint: x_fkey",
)


def batch(tag: str, *rows: dict[str, Any]) -> erp_pb2.BatchCreateRecordsRequest:
    return erp_pb2.BatchCreateRecordsRequest(
        connection=MAIN,
        model="res.partner",
        rows=[erp_pb2.RecordInput(values=to_struct({"ref": tag, **values})) for values in rows],
        request_id=request_id(),
    )


def ragged(tag: str) -> erp_pb2.BatchCreateRecordsRequest:
    """Two shapes, in turns."""
    own = {"lang": None, "type": "delivery"}
    return batch(tag, {"name": "a"}, {"name": "b", **own}, {"name": "c"}, {"name": "d", **own})


def stored(sandbox: SandboxProcess, tag: str) -> list[dict[str, Any]]:
    context = {"active_test": False}
    domain, fields = [["ref", "=", tag]], ["name", "type", "lang", "active"]
    return list(sandbox.call("res.partner", "search_read", domain, fields, order="id", context=context))


async def test_defaults_of_the_erp_are_kept(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, proxy = lossy
    request = ragged("shapes")
    made = [one.id for one in (await client.erp.BatchCreateRecords(request)).records]
    rows = {row["id"]: row for row in stored(sandbox, "shapes")}
    assert [(rows[one]["name"], rows[one]["type"], rows[one]["lang"]) for one in made] == [
        ("a", "contact", "en_US"),
        ("b", "delivery", False),
        ("c", "contact", "en_US"),
        ("d", "delivery", False),
    ]
    assert proxy.count("load") == 2
    assert [one.id for one in (await client.erp.BatchCreateRecords(request)).records] == made
    assert len(stored(sandbox, "shapes")) == 4


@pytest.mark.parametrize("times", [1, 2])
async def test_lost_answers_create_nothing_twice(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess, times: int
) -> None:
    client, proxy = lossy
    proxy.lose("load", times)
    made = (await client.erp.BatchCreateRecords(ragged(f"lost {times}"))).records
    rows = stored(sandbox, f"lost {times}")
    assert sorted(one.id for one in made) == [row["id"] for row in rows]
    assert len(rows) == 4
    assert proxy.count("load") == 2


async def test_a_refused_part_takes_the_others_back(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, proxy = lossy
    proxy.lose("unlink")
    request = batch("refused", {"name": "a"}, {"name": "b", "country_id": 999_999}, {"name": "c"})
    for _ in range(2):
        with pytest.raises(SutlerError) as caught:
            await client.erp.BatchCreateRecords(request)
        assert caught.value.reason == "REFERENCE_MISSING"
        assert stored(sandbox, "refused") == []
    assert proxy.count("unlink") == 2


async def test_rows_are_named_by_their_place_among_all(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, _ = lossy
    request = batch("named", {"name": "a"}, {"color": 1}, {"name": "b"}, {"color": 2})
    with pytest.raises(Invalid) as caught:
        await client.erp.BatchCreateRecords(request)
    assert caught.value.reason == "ROWS_INVALID"
    assert [one.field.partition("]")[0] for one in caught.value.violations] == ["rows[1", "rows[3"]
    assert stored(sandbox, "named") == []


async def test_what_cannot_be_taken_back_is_archived_or_told(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, proxy = lossy
    rows = ({"name": "a"}, {"name": "b", "country_id": 999_999})
    proxy.replace("unlink", failure(*FOREIGN_KEY))
    with pytest.raises(SutlerError) as refused:
        await client.erp.BatchCreateRecords(batch("archived", *rows))
    assert refused.value.reason == "REFERENCE_MISSING"
    assert [row["active"] for row in stored(sandbox, "archived")] == [False]

    proxy.replace("unlink", failure(*FOREIGN_KEY))
    proxy.replace("write", failure("odoo.exceptions.AccessError", "no"))
    request = batch("standing", *rows)
    with pytest.raises(Conflict) as told:
        await client.erp.BatchCreateRecords(request)
    [left] = stored(sandbox, "standing")
    assert (told.value.reason, told.value.metadata["steps"]) == ("UNDO_FAILED", "1")
    journal = await client.erp.GetTransaction(erp_pb2.GetTransactionRequest(name=told.value.metadata["transaction"]))
    assert [one.record_id for one in journal.steps if one.state == one.STATE_UNDO_FAILED] == [left["id"]]
    with pytest.raises(Conflict) as again:
        await client.erp.BatchCreateRecords(request)
    assert again.value.metadata == told.value.metadata
    assert len(stored(sandbox, "standing")) == 1


async def test_lines_with_different_fields_keep_what_the_erp_computes(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, proxy = lossy
    values = {"partner_id": 10, "order_line": LINES}
    made = await client.erp.CreateRecord(create(values, request_id=request_id()))
    assert (proxy.count("load"), proxy.count("create")) == (0, 1)  # a table would empty the name of the first line
    lines = sandbox.call("sale.order.line", "search_read", [["order_id", "=", made.id]], ["name", "display_type"])
    assert sorted(line["name"] for line in lines) == ["[machine-small] Small machine", "a note"]
