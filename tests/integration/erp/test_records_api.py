"""Models and records through a real server, from the sandbox."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import FailedPrecondition, Invalid, NotFound, PermissionDenied, SutlerError
from sutler.wire import duration, from_struct, to_struct, to_value

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.servers import Proxy, failure


def domain(*terms: Any) -> Any:
    return to_value(list(terms)).list_value


def partners(sandbox: SandboxProcess, tag: str, count: int) -> list[int]:
    rows = [{"name": f"{tag} {i:03}", "ref": tag, "is_company": i % 2 == 0, "color": i} for i in range(count)]
    return list(sandbox.call("res.partner", "create", rows))


async def search(client: Sutler, model: str = "res.partner", **more: Any) -> erp_pb2.SearchRecordsResponse:
    return await client.erp.SearchRecords(erp_pb2.SearchRecordsRequest(connection=MAIN, model=model, **more))


async def test_models_are_listed_and_described(erp: Sutler) -> None:
    listed = await erp.erp.ListModels(
        erp_pb2.ListModelsRequest(parent=MAIN, filter='model = "sale.*"', order_by="model desc", page_size=1)
    )
    assert [one.model for one in listed.models] == ["sale.order.line"]
    more = erp_pb2.ListModelsRequest(
        parent=MAIN, filter='model = "sale.*"', order_by="model desc", page_token=listed.next_page_token
    )
    assert [one.model for one in (await erp.erp.ListModels(more)).models] == ["sale.order"]

    described = await erp.erp.DescribeModel(erp_pb2.DescribeModelRequest(connection=MAIN, model="sale.order"))
    fields = {one.field: one for one in described.fields}
    assert list(fields) == sorted(fields)
    assert fields["partner_id"].type == erp_pb2.ModelField.TYPE_MANY_TO_ONE
    assert (fields["partner_id"].relation, fields["partner_id"].required) == ("res.partner", True)
    assert [one.value for one in fields["state"].options] == ["draft", "sent", "sale", "cancel"]
    assert described.rights.writable
    again = await erp.erp.DescribeModel(
        erp_pb2.DescribeModelRequest(connection=MAIN, model="sale.order", fields=["partner_id.country_id.code"])
    )
    assert again.source.origin == erp_pb2.DataSource.ORIGIN_NEAR_CACHE
    assert [(one.field, one.type) for one in again.fields] == [
        ("partner_id.country_id.code", erp_pb2.ModelField.TYPE_STRING)
    ]


async def test_one_record_with_relations(erp: Sutler) -> None:
    order = await erp.erp.GetRecord(
        erp_pb2.GetRecordRequest(
            connection=MAIN,
            model="sale.order",
            id=1,
            fields=[
                "name", "partner_id", "partner_id.country_id.code", "order_line.product_id.default_code",
                "order_line.product_uom_qty", "date_order", "commitment_date", "locked", "amount_total", "external_id",
            ],
        )
    )  # fmt: skip
    values = from_struct(order.values)
    assert values["partner_id"] == {
        "id": 10,
        "display_name": "Alder Hosting",
        "country_id": {"id": 233, "code": "US"},
    }
    assert [(line["product_id"]["default_code"], line["product_uom_qty"]) for line in values["order_line"]] == [
        ("machine-small", 2),
        ("machine-large", 2),
    ]
    assert values["date_order"].endswith("Z")
    assert (values["commitment_date"], values["locked"], values["amount_total"]) == (None, False, "230.0")
    assert order.HasField("update_time")
    company = await erp.erp.GetRecord(
        erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=1, fields=["external_id"])
    )
    assert company.external_id == "base.main_partner"
    title = await erp.erp.GetRecord(erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10))
    assert title.display_name == "Alder Hosting"


async def test_a_star_reads_everything_but_binaries(erp: Sutler) -> None:
    record = await erp.erp.GetRecord(
        erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=10, fields=["*"])
    )
    values = from_struct(record.values)
    assert {"name", "email", "country_id", "child_ids", "active"} <= set(values)
    assert not any(name.startswith("image_") for name in values)


async def test_many_records_in_the_order_of_their_ids(erp: Sutler, sandbox: SandboxProcess) -> None:
    ids = partners(sandbox, "batch", 5)
    asked = [ids[3], ids[0], ids[3], ids[1]]
    request = erp_pb2.BatchGetRecordsRequest(connection=MAIN, model="res.partner", ids=asked, fields=["name"])
    found = await erp.erp.BatchGetRecords(request)
    assert [one.id for one in found.records] == asked
    request.ids.append(99_999_999)
    with pytest.raises(NotFound) as caught:
        await erp.erp.BatchGetRecords(request)
    assert caught.value.metadata["ids"] == "99999999"
    request.allow_missing = True
    found = await erp.erp.BatchGetRecords(request)
    assert [one.id for one in found.records] == asked
    assert list(found.missing_ids) == [99_999_999]


async def test_records_are_read_with_one_call_for_each_level(sqlite: str, proxy: tuple[Proxy, str]) -> None:
    lossy, url = proxy
    async with gateway(sqlite) as client:
        await connect(client, url)
        fields = ["partner_id.country_id.code", "order_line.product_id.default_code"]
        warm = erp_pb2.BatchGetRecordsRequest(connection=MAIN, model="sale.order", ids=[1], fields=fields)
        await client.erp.BatchGetRecords(warm)
        before = lossy.count("read")
        warm.ids.extend([2, 3])
        await client.erp.BatchGetRecords(warm)
        # The orders; their partners and lines; the countries and products behind those.
        assert lossy.count("read") - before == 5


async def test_concurrent_reads_share_a_call(sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess) -> None:
    lossy, url = proxy
    ids = partners(sandbox, "join", 20)
    async with gateway(sqlite) as client:
        await connect(client, url, coalesce_window=duration(0.1))
        reads = [erp_pb2.GetRecordRequest(connection=MAIN, model="res.partner", id=one) for one in ids]
        await client.erp.GetRecord(reads[0])
        before = lossy.count("read")
        found = await asyncio.gather(*(client.erp.GetRecord(one) for one in reads))
        assert [one.id for one in found] == ids
        assert lossy.count("read") - before <= 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name = "filter 00*"', [0, 1, 2, 3, 4, 5]),
        ("is_company = true", [0, 2, 4]),
        ("NOT is_company = true", [1, 3, 5]),
        ("color >= 4", [4, 5]),
        ("NOT (color >= 4 OR color = 0)", [1, 2, 3]),
        ('name = "*3" OR color = 5', [3, 5]),
        ("country_id:*", []),
        ('NOT country_id.code = "BE"', [0, 1, 2, 3, 4, 5]),
        ('create_date > "2020-01-01T00:00:00Z"', [0, 1, 2, 3, 4, 5]),
    ],
)
async def test_filters_find_the_right_records(
    erp: Sutler, sandbox: SandboxProcess, text: str, expected: list[int]
) -> None:
    tag = "filter"
    ids = sandbox.call("res.partner", "search", [["ref", "=", tag]]) or partners(sandbox, tag, 6)
    found = await search(erp, filter=f'({text}) AND ref = "{tag}"', fields=["name"])
    assert [one.id for one in found.records] == [ids[i] for i in expected]


async def test_raw_domains_archived_records_and_external_ids(erp: Sutler, sandbox: SandboxProcess) -> None:
    ids = partners(sandbox, "raw", 3)
    sandbox.call("res.partner", "write", [ids[2]], {"active": False})
    mine = ["ref", "=", "raw"]
    found = await search(erp, domain=domain("|", ["color", "=", 1], ["color", "=", 2], mine))
    assert [one.id for one in found.records] == [ids[1]]
    found = await search(erp, domain=domain("|", ["color", "=", 1], ["color", "=", 2], mine), show_archived=True)
    assert [one.id for one in found.records] == ids[1:]
    found = await search(erp, filter='external_id = "base.main_partner" OR external_id = "no.such"')
    assert [one.id for one in found.records] == [1]
    for raw in (domain(["color", "~~", 1]), domain("|", ["color", "=", 1]), domain(["color", "="])):
        with pytest.raises(Invalid) as caught:
            await search(erp, domain=raw)
        assert caught.value.reason == "DOMAIN_INVALID"


@pytest.mark.parametrize("order_by", ["", "id desc", "color desc", "is_company, name desc"])
async def test_pages_have_every_record_once(erp: Sutler, sandbox: SandboxProcess, order_by: str) -> None:
    ids = sandbox.call("res.partner", "search", [["ref", "=", "pages"]]) or partners(sandbox, "pages", 11)
    request = erp_pb2.SearchRecordsRequest(
        connection=MAIN, model="res.partner", filter='ref = "pages"', order_by=order_by, page_size=4, include_total=True
    )
    seen: list[int] = []
    while True:
        page = await erp.erp.SearchRecords(request)
        assert page.total_size == 11
        seen += [one.id for one in page.records]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert sorted(seen) == sorted(ids)
    assert len(seen) == 11
    if order_by in ("id desc", "color desc"):
        assert seen == sorted(ids, reverse=True)
    request.filter = 'ref = "other"'
    with pytest.raises(Invalid) as caught:
        await erp.erp.SearchRecords(request)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


async def test_large_pages_end_early(erp: Sutler, sandbox: SandboxProcess) -> None:
    text = "x" * 900_000
    ids = sandbox.call(
        "res.partner", "create", [{"name": f"large {i}", "ref": "large", "comment": text} for i in range(5)]
    )
    request = erp_pb2.SearchRecordsRequest(
        connection=MAIN, model="res.partner", filter='ref = "large"', fields=["comment"]
    )
    first = await erp.erp.SearchRecords(request)
    assert 0 < len(first.records) < 5
    request.page_token = first.next_page_token
    second = await erp.erp.SearchRecords(request)
    assert [one.id for one in (*first.records, *second.records)] == ids
    batch = erp_pb2.BatchGetRecordsRequest(connection=MAIN, model="res.partner", ids=ids, fields=["comment"])
    part = await erp.erp.BatchGetRecords(batch)
    assert len(part.records) < 5
    batch.page_token = part.next_page_token
    rest = await erp.erp.BatchGetRecords(batch)
    assert [one.id for one in (*part.records, *rest.records)] == ids
    sandbox.call("res.partner", "unlink", ids)


async def test_counts_and_names(erp: Sutler, sandbox: SandboxProcess) -> None:
    partners(sandbox, "counted", 6)
    count = erp_pb2.CountRecordsRequest(connection=MAIN, model="res.partner", filter='ref = "counted"')
    assert (await erp.erp.CountRecords(count)).count == 6
    count.limit = 4
    assert (await erp.erp.CountRecords(count)).count == 4
    names = erp_pb2.SearchNamesRequest(
        connection=MAIN, model="res.partner", query="counted 00", filter="color > 1", page_size=3
    )
    first = await erp.erp.SearchNames(names)
    assert [one.display_name for one in first.records] == [f"counted 00{i}" for i in (2, 3, 4)]
    names.page_token = first.next_page_token
    second = await erp.erp.SearchNames(names)
    assert [one.display_name for one in second.records] == ["counted 005"]
    assert second.next_page_token == ""


@pytest.mark.parametrize(
    ("request_", "kind", "reason"),
    [
        (erp_pb2.SearchRecordsRequest(model="no.such"), NotFound, "MODEL_NOT_FOUND"),
        (erp_pb2.SearchRecordsRequest(model="res.partner", fields=["colour"]), Invalid, "FIELD_NOT_FOUND"),
        (erp_pb2.SearchRecordsRequest(model="res.partner", fields=["name.x"]), Invalid, "FIELD_NOT_FOUND"),
        (erp_pb2.SearchRecordsRequest(model="res.partner", filter="colour = 1"), Invalid, "FILTER_INVALID"),
        (erp_pb2.SearchRecordsRequest(model="res.partner", filter="child_ids.name != 1"), Invalid, "FILTER_INVALID"),
        (erp_pb2.SearchRecordsRequest(model="res.partner", order_by="child_ids"), Invalid, "ORDER_BY_INVALID"),
        (erp_pb2.GetRecordRequest(model="res.partner", id=99_999_999), NotFound, "NOT_FOUND"),
        (
            erp_pb2.GetRecordRequest(model="res.partner", id=10, context=erp_pb2.ErpContext(language="xx_XX")),
            Invalid,
            "CONTEXT_INVALID",
        ),
    ],
)
async def test_wrong_questions(erp: Sutler, request_: Any, kind: type[SutlerError], reason: str) -> None:
    request_.connection = MAIN
    method = type(request_).__name__.removesuffix("Request")
    with pytest.raises(kind) as caught:
        await getattr(erp.erp, method)(request_)
    assert caught.value.reason == reason


async def test_models_take_few_calls_however_many_there_are(lossy: tuple[Sutler, Proxy]) -> None:
    client, proxy = lossy
    described = await client.erp.DescribeModel(erp_pb2.DescribeModelRequest(connection=MAIN, model="sale.order"))
    assert described.model.display_name == "Sales Order"
    assert proxy.count("check_access_rights") == 4
    proxy.calls.clear()
    listed = await client.erp.ListModels(erp_pb2.ListModelsRequest(parent=MAIN))
    assert len(listed.models) > 10
    assert [call.method for call in proxy.calls] == ["search_read", "get_available_models"]


async def test_an_older_odoo_is_asked_for_each_model(lossy: tuple[Sutler, Proxy]) -> None:
    client, proxy = lossy
    newer = await client.erp.ListModels(erp_pb2.ListModelsRequest(parent=MAIN))
    none = failure("builtins.AttributeError", "The method 'ir.model.get_available_models' does not exist")
    proxy.replace("get_available_models", none)
    anew = erp_pb2.ReadOptions(max_staleness=duration(0))
    older = await client.erp.ListModels(erp_pb2.ListModelsRequest(parent=MAIN, read_options=anew))
    assert list(older.models) == list(newer.models)
    assert proxy.count("check_access_rights") == len(older.models)


async def test_what_the_erp_forbids(sqlite: str, sandbox: SandboxProcess) -> None:
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url, username="portal", secret="portal")
        with pytest.raises(PermissionDenied) as caught:
            await client.erp.CreateRecord(
                erp_pb2.CreateRecordRequest(connection=MAIN, model="res.partner", values=to_struct({"name": "x"}))
            )
        assert caught.value.reason == "ERP_ACCESS_DENIED"
        assert caught.value.metadata["erp_message"]


async def test_another_database_and_another_connection(erp: Sutler, sandbox: SandboxProcess) -> None:
    await connect(erp, sandbox.url, "other", database="nowhere")
    with pytest.raises(FailedPrecondition) as caught:
        await erp.erp.ListModels(erp_pb2.ListModelsRequest(parent="connections/other"))
    assert caught.value.reason == "DATABASE_NOT_FOUND"
    with pytest.raises(NotFound) as missing:
        await erp.erp.ListModels(erp_pb2.ListModelsRequest(parent="connections/none"))
    assert missing.value.reason == "NOT_FOUND"
