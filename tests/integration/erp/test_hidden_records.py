"""Records that the ERP hides from its user: they are not found, and spoil nobody's other records."""

from __future__ import annotations

import asyncio

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import NotFound, PermissionDenied
from sutler.wire import duration, from_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import connect
from tests.integration.erp.feeds import an_order

PORTAL = "connections/portal"


async def as_portal(erp: Sutler, sandbox: SandboxProcess) -> tuple[int, int]:
    """Connects as the user ``portal``, and returns an order of theirs and one that they may not see."""
    await connect(erp, sandbox.url, "portal", username="portal", secret="portal", coalesce_window=duration(0.05))
    [user] = sandbox.call("res.users", "read", [7], ["partner_id"])
    [own] = sandbox.call("sale.order", "create", [{"partner_id": user["partner_id"][0]}])
    return own, an_order(sandbox)


def order(order_id: int, *fields: str) -> erp_pb2.GetRecordRequest:
    return erp_pb2.GetRecordRequest(connection=PORTAL, model="sale.order", id=order_id, fields=fields or ["name"])


async def test_a_hidden_record_spoils_nobody_elses_read(erp: Sutler, sandbox: SandboxProcess) -> None:
    own, foreign = await as_portal(erp, sandbox)
    with pytest.raises(NotFound):
        await erp.erp.GetRecord(order(foreign))
    together = [erp.erp.GetRecord(order(one)) for one in (own, foreign, own)]
    mine, hidden, again = await asyncio.gather(*together, return_exceptions=True)
    assert isinstance(mine, erp_pb2.Record) and mine.id == own
    assert isinstance(again, erp_pb2.Record) and again.id == own
    assert isinstance(hidden, NotFound)


async def test_a_batch_leaves_hidden_records_out(erp: Sutler, sandbox: SandboxProcess) -> None:
    own, foreign = await as_portal(erp, sandbox)
    request = erp_pb2.BatchGetRecordsRequest(
        connection=PORTAL, model="sale.order", ids=[own, foreign], fields=["name"], allow_missing=True
    )
    found = await erp.erp.BatchGetRecords(request)
    assert ([one.id for one in found.records], list(found.missing_ids)) == ([own], [foreign])
    request.allow_missing = False
    with pytest.raises(NotFound) as caught:
        await erp.erp.BatchGetRecords(request)
    assert caught.value.metadata["ids"] == str(foreign)


async def test_a_hidden_model_stays_refused(erp: Sutler, sandbox: SandboxProcess) -> None:
    await as_portal(erp, sandbox)
    request = erp_pb2.GetRecordRequest(connection=PORTAL, model="res.users", id=2, fields=["login"])
    with pytest.raises(PermissionDenied) as caught:
        await erp.erp.GetRecord(request)
    assert caught.value.reason == "ERP_ACCESS_DENIED"


async def test_an_export_goes_past_a_hidden_related_record(erp: Sutler, sandbox: SandboxProcess) -> None:
    own, _ = await as_portal(erp, sandbox)
    sandbox.call("sale.order", "write", [own], {"partner_invoice_id": 10})
    request = erp_pb2.ExportRecordsRequest(
        connection=PORTAL, model="sale.order", fields=["name", "partner_invoice_id.email"], filter=f"id = {own}"
    )
    chunks = [chunk async for chunk in erp.erp.ExportRecords(request)]
    [record] = [record for chunk in chunks for record in chunk.records]
    invoiced = from_struct(record.values)["partner_invoice_id"]
    assert invoiced["id"] == 10 and "email" not in invoiced
