"""Figures over groups, through a real channel: the same as a plain evaluation of the same rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Code, Invalid, SutlerError
from sutler.wire import from_struct, from_value, to_value

from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import MAIN, connect, gateway

Rows = Sequence[Mapping[str, Any]]
Group = erp_pb2.Grouping
Compute = erp_pb2.Aggregate
BRUSSELS = ZoneInfo("Europe/Brussels")
TAG = "figures"
DAYS = ["2026-02-27 23:30:00", "2026-03-01 10:00:00", "2026-03-02 08:15:00"]
TIMES = [*DAYS, "2026-03-29 00:30:00", "2026-03-29 22:30:00"]


@pytest.fixture(scope="module", params=["odoo-jsonrpc", "odoo-json2"])
def ordered(request: pytest.FixtureRequest) -> Iterator[tuple[str, SandboxProcess, Rows]]:
    """A driver, and a sandbox of its own with 40 orders whose times lie around ends of days, weeks and summer time."""
    with started("--json2") as sandbox:
        for i in range(40):
            values = {
                "partner_id": 10 + i % 3,
                "client_order_ref": TAG,
                "date_order": TIMES[i % 5],
                "note": f"n{i % 4}" if i % 7 else False,
                "commitment_date": f"2026-05-{1 + i % 9:02} 12:00:00" if i % 5 < 3 else False,
                "order_line": [[0, 0, {"product_id": 1 + i % 2, "product_uom_qty": 1 + i / 10}]],
            }
            made = sandbox.call("sale.order", "create", values)
            if i % 4 == 0:
                sandbox.call("sale.order", "action_confirm", [made])
        fields = ["partner_id", "state", "date_order", "amount_total", "note", "commitment_date"]
        rows = sandbox.call("sale.order", "search_read", [["client_order_ref", "=", TAG]], fields)
        # A confirmed order is dated anew: back to where it was.
        for row, time in zip(sorted(rows, key=lambda row: row["id"]), [TIMES[i % 5] for i in range(40)], strict=True):
            sandbox.call("sale.order", "write", [row["id"]], {"date_order": time})
            row["date_order"] = time
        yield request.param, sandbox, rows


@pytest.fixture
async def client(sqlite: str, ordered: tuple[str, SandboxProcess, Rows]) -> AsyncIterator[Sutler]:
    driver, sandbox, _ = ordered
    async with gateway(sqlite) as client:
        await connect(client, sandbox.url, driver=driver)
        yield client


def asking(groupings: Sequence[Group] = (), aggregates: Sequence[Compute] = (), **more: Any) -> Any:
    given = {"connection": MAIN, "model": "sale.order", "filter": f'client_order_ref = "{TAG}"', **more}
    return erp_pb2.AggregateRecordsRequest(groupings=groupings, aggregates=aggregates, **given)


def local(row: Mapping[str, Any], zone: Any = UTC) -> datetime:
    return datetime.fromisoformat(row["date_order"]).replace(tzinfo=UTC).astimezone(zone)


def month(day: date, months: int) -> str:
    return date(day.year, (day.month - 1) // months * months + 1, 1).isoformat()


PARTS: dict[int, Callable[[datetime], str]] = {
    Group.DATE_PART_HOUR: lambda t: t.astimezone(UTC).strftime("%Y-%m-%dT%H:00:00Z"),
    Group.DATE_PART_DAY: lambda t: t.date().isoformat(),
    Group.DATE_PART_WEEK: lambda t: (t.date() - timedelta(days=t.weekday())).isoformat(),
    Group.DATE_PART_MONTH: lambda t: month(t.date(), 1),
    Group.DATE_PART_QUARTER: lambda t: month(t.date(), 3),
    Group.DATE_PART_YEAR: lambda t: month(t.date(), 12),
}


async def test_each_part_of_a_date_in_the_callers_zone(
    client: Sutler, ordered: tuple[str, SandboxProcess, Rows]
) -> None:
    _, sandbox, rows = ordered
    for part, zone in product(PARTS, ["", "Europe/Brussels"]):
        expected: dict[tuple[str, str], Decimal] = {}
        for row in rows:
            key = PARTS[part](local(row, ZoneInfo(zone or "UTC"))), row["state"]
            expected[key] = expected.get(key, Decimal(0)) + Decimal(str(row["amount_total"]))
        found = await client.erp.AggregateRecords(
            asking(
                [Group(field="date_order", date_part=part, alias="began"), Group(field="state")],
                [Compute(function=Compute.FUNCTION_SUM, field="amount_total", alias="total")],
                context=erp_pb2.ErpContext(time_zone=zone),
            )
        )
        told = {(group.keys["began"], group.keys["state"]): Decimal(group.values["total"]) for group in found.groups}
        assert (part, zone, told) == (part, zone, expected)
        assert list(told) == sorted(told)
        group = found.groups[-1]  # its domain finds its records
        terms = [from_value(one) for one in group.domain.values]
        assert sandbox.call("sale.order", "search_count", terms) == group.count
        assert sum(group.count for group in found.groups) == 40


FUNCTIONS = [
    Compute(function=Compute.FUNCTION_COUNT, alias="orders"),
    Compute(function=Compute.FUNCTION_COUNT, field="note", alias="noted"),
    Compute(function=Compute.FUNCTION_AVG, field="amount_total", alias="average"),
    Compute(function=Compute.FUNCTION_MIN, field="commitment_date", alias="first"),
    Compute(function=Compute.FUNCTION_MAX, field="amount_total", alias="most"),
]
DISTINCT = Compute(function=Compute.FUNCTION_COUNT_DISTINCT, field="note", alias="notes")


def evaluated(rows: Rows) -> dict[str, Any]:
    amounts = [Decimal(str(row["amount_total"])) for row in rows]
    noted = [row["note"] for row in rows if row["note"]]
    promised = [row["commitment_date"] for row in rows if row["commitment_date"]]
    return {
        "orders": len(rows),
        "noted": len(noted),
        "average": round(sum(amounts) / len(amounts), 6),
        "first": min(promised).replace(" ", "T") + "Z" if promised else None,
        "most": max(amounts),
        "notes": len(set(noted)),
    }


def values_of(group: erp_pb2.RecordGroup) -> dict[str, Any]:
    values = from_struct(group.values)
    return values | {"average": round(Decimal(values["average"]), 6), "most": Decimal(values["most"])}


@pytest.mark.parametrize("part", [Group.DATE_PART_MONTH, Group.DATE_PART_WEEK])
async def test_each_function(client: Sutler, ordered: tuple[str, SandboxProcess, Rows], part: int) -> None:
    weekly = part == Group.DATE_PART_WEEK
    functions = FUNCTIONS if weekly else [*FUNCTIONS, DISTINCT]
    found = await client.erp.AggregateRecords(asking([Group(field="date_order", date_part=part)], functions))
    assert len(found.groups) > 1
    for group in found.groups:
        expected = evaluated([row for row in ordered[2] if PARTS[part](local(row)) == group.keys["date_order"]])
        if weekly:
            del expected["notes"]
        assert values_of(group) == expected


async def test_one_group_over_all_also_if_nothing_matches(
    client: Sutler, ordered: tuple[str, SandboxProcess, Rows]
) -> None:
    [group] = (await client.erp.AggregateRecords(asking([], [*FUNCTIONS, DISTINCT]))).groups
    assert values_of(group) == evaluated(ordered[2])
    assert (group.count, len(group.keys)) == (40, 0)
    [none] = (await client.erp.AggregateRecords(asking([], [*FUNCTIONS, DISTINCT], filter='name = "nobody"'))).groups
    assert none.count == 0
    assert from_struct(none.values) == {
        "orders": 0, "noted": 0, "average": None, "first": None, "most": None, "notes": 0,
    }  # fmt: skip
    assert not (await client.erp.AggregateRecords(asking([Group(field="state")], filter='name = "nobody"'))).groups


@pytest.mark.parametrize("part", [Group.DATE_PART_DAY, Group.DATE_PART_WEEK])
async def test_pages_and_orders(client: Sutler, part: int) -> None:
    groupings = [Group(field="partner_id", alias="customer"), Group(field="date_order", date_part=part, alias="began")]
    total = Compute(function=Compute.FUNCTION_SUM, field="amount_total", alias="total")
    request = asking(groupings, [total], order_by="total desc, began", page_size=4)
    seen: list[Any] = []
    while True:
        page = await client.erp.AggregateRecords(request)
        assert len(page.groups) <= 4
        seen += [from_struct(group.keys) | from_struct(group.values) for group in page.groups]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len(seen) > 8
    assert len({(one["customer"]["id"], one["began"]) for one in seen}) == len(seen)
    assert {one["customer"]["display_name"] for one in seen} == {"Alder Hosting", "Birch Studio", "Cedar Labs"}
    assert [(-Decimal(one["total"]), one["began"]) for one in seen] == sorted(
        (-Decimal(one["total"]), one["began"]) for one in seen
    )
    fewest = await client.erp.AggregateRecords(asking(groupings, order_by="count", page_size=1000))
    assert [group.count for group in fewest.groups] == sorted(group.count for group in fewest.groups)


async def test_empty_keys_and_raw_domains(client: Sutler, ordered: tuple[str, SandboxProcess, Rows]) -> None:
    domain = to_value([["client_order_ref", "=", TAG], ["state", "=", "sale"]]).list_value
    found = await client.erp.AggregateRecords(asking([Group(field="note")], filter="", domain=domain))
    expected: dict[Any, int] = {}
    for row in ordered[2]:
        if row["state"] == "sale":
            expected[row["note"] or None] = expected.get(row["note"] or None, 0) + 1
    assert {from_struct(group.keys)["note"]: group.count for group in found.groups} == expected
    assert None in expected
    for group in found.groups:
        terms = [from_value(one) for one in group.domain.values]
        assert ordered[1].call("sale.order", "search_count", terms) == group.count


REFUSED = [
        (asking([Group(field="colour")]), Code.INVALID_ARGUMENT, "FIELD_NOT_FOUND", "fields"),
        (asking([Group(field="external_id")]), Code.INVALID_ARGUMENT, "FIELD_NOT_FOUND", "groupings[0].field"),
        (asking([Group(field="state"), Group(field="name", alias="state")]), Code.INVALID_ARGUMENT, "FIELD_INVALID",
         "groupings[1].alias"),
        (asking([Group(field="state", date_part=Group.DATE_PART_DAY)]), Code.INVALID_ARGUMENT, "FIELD_INVALID",
         "groupings[0].date_part"),
        (asking([], [Compute(function=Compute.FUNCTION_SUM, field="name", alias="x")]), Code.INVALID_ARGUMENT,
         "FIELD_INVALID", "aggregates[0].function"),
        (asking([], order_by="total"), Code.INVALID_ARGUMENT, "ORDER_BY_INVALID", "order_by"),
        (asking([], context=erp_pb2.ErpContext(time_zone="Mars/Base")), Code.INVALID_ARGUMENT, "CONTEXT_INVALID",
         "context.time_zone"),
        (asking([Group(field="date_order")]), Code.UNIMPLEMENTED, "NOT_IMPLEMENTED", ""),
        (asking([Group(field="partner_id.country_id")]), Code.UNIMPLEMENTED, "NOT_IMPLEMENTED", ""),
        (asking([Group(field="order_line")]), Code.UNIMPLEMENTED, "NOT_IMPLEMENTED", ""),
        (asking([Group(field="date_order", date_part=Group.DATE_PART_WEEK)], [DISTINCT]), Code.UNIMPLEMENTED,
         "NOT_IMPLEMENTED", ""),
        (asking(model="sale.ordre"), Code.NOT_FOUND, "MODEL_NOT_FOUND", ""),
    ]  # fmt: skip


async def test_what_cannot_be_computed(client: Sutler) -> None:
    for request, code, reason, field in REFUSED:
        with pytest.raises(SutlerError) as caught:
            await client.erp.AggregateRecords(request)
        assert (caught.value.code, caught.value.reason) == (code, reason)
        if isinstance(caught.value, Invalid):
            assert caught.value.violations[0].field == field
