"""Odoo's values in the gateway's forms and back."""

from __future__ import annotations

from typing import Any

import pytest
from sutler.errors import Invalid

from services.erp.adapters.odoo.fields import to_schema
from services.erp.adapters.odoo.loading import to_cells, to_table
from services.erp.adapters.odoo.reading import byte_size, to_row, to_value
from services.erp.adapters.odoo.writing import Encoder
from services.erp.schemas import FieldType
from tests.unit.erp.models import ORDER, schemas


@pytest.mark.parametrize(
    ("kind", "told", "expected"),
    [
        (FieldType.BOOLEAN, False, False),
        (FieldType.STRING, False, None),
        (FieldType.STRING, "", ""),
        (FieldType.INTEGER, 0, 0),
        (FieldType.FLOAT, 0.0, 0.0),
        (FieldType.MONETARY, 194.93, "194.93"),
        (FieldType.MANY_TO_ONE, [7, "Anna"], {"id": 7, "display_name": "Anna"}),
        (FieldType.MANY_TO_ONE, False, None),
        (FieldType.MANY_TO_MANY, [5, 9], [{"id": 5}, {"id": 9}]),
        (FieldType.ONE_TO_MANY, [], []),
        (FieldType.DATETIME, "2026-11-21 07:41:37", "2026-11-21T07:41:37Z"),
        (FieldType.DATE, "2026-11-21", "2026-11-21"),
        (FieldType.BINARY, "5.13 Kb", 5253),
        (FieldType.REFERENCE, "res.partner,7", {"model": "res.partner", "id": 7}),
        (FieldType.JSON, [5, 9], [5, 9]),
        (FieldType.INTEGER, [5, 9], [5, 9]),
    ],
)
def test_values_are_typed_by_their_field(kind: FieldType, told: Any, expected: Any) -> None:
    assert to_value(kind, told) == expected
    assert type(to_value(kind, told)) is type(expected)


@pytest.mark.parametrize(("told", "size"), [("123 bytes", 123), ("2 Kb", 2048), ("1.50 Mb", 1572864), (17, 17)])
def test_sizes_of_binaries(told: Any, size: int) -> None:
    assert byte_size(told) == size


def test_a_row_has_times_title_and_every_value() -> None:
    raw = {"id": 3, "name": "S1", "display_name": "S1", "create_date": "2026-11-21 07:41:36", "write_date": False}
    row = to_row(ORDER, raw, binaries=False)
    assert (row.id, row.display_name, row.create_time, row.update_time) == (3, "S1", 1795246896.0, None)


async def encode(values: dict[str, Any]) -> tuple[dict[str, Any], Encoder]:
    async def find(model: str, name: str) -> int | None:
        return {"shop.anna": 7}.get(name)

    encoder = Encoder(schemas, find)
    return await encoder.encode(ORDER, values), encoder


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"note": None, "partner_id": None}, {"note": False, "partner_id": False}),
        ({"amount_total": "12.50", "weight": 3}, {"amount_total": 12.5, "weight": 3}),
        ({"date_order": "2026-11-21T10:30:00+01:00"}, {"date_order": "2026-11-21 09:30:00"}),
        ({"validity_date": "2026-11-21"}, {"validity_date": "2026-11-21"}),
        ({"partner_id": 7}, {"partner_id": 7}),
        ({"partner_id": {"id": 7, "display_name": "Anna"}}, {"partner_id": 7}),
        ({"partner_id": {"external_id": "shop.anna"}}, {"partner_id": 7}),
        ({"tag_ids": [1, {"id": 2}]}, {"tag_ids": [[6, 0, [1, 2]]]}),
        ({"tag_ids": None}, {"tag_ids": [[5, 0, 0]]}),
        (
            {"tag_ids": {"add": [1], "remove": [2], "delete": [3]}},
            {"tag_ids": [[4, 1, 0], [3, 2, 0], [2, 3, 0]]},
        ),
        (
            {"order_line": {"update": [{"id": 5, "product_uom_qty": 2}]}},
            {"order_line": [[1, 5, {"product_uom_qty": 2}]]},
        ),
        ({"origin_document": {"model": "res.partner", "id": 7}}, {"origin_document": "res.partner,7"}),
        ({"state": "sale", "locked": True}, {"state": "sale", "locked": True}),
    ],
)
async def test_values_are_written_in_odoos_forms(values: dict[str, Any], expected: dict[str, Any]) -> None:
    encoded, encoder = await encode(values)
    assert encoded == expected
    assert encoder.repeatable


async def test_what_creates_related_records_is_not_repeatable() -> None:
    encoded, encoder = await encode({"order_line": {"create": [{"product_id": 1, "product_uom_qty": 2}]}})
    assert encoded == {"order_line": [[0, 0, {"product_id": 1, "product_uom_qty": 2}]]}
    assert not encoder.repeatable


async def test_every_wrong_value_is_told_with_its_place() -> None:
    wrong = {
        "no_such": 1,
        "name": None,
        "priority": "x",
        "locked": "yes",
        "state": "bogus",
        "date_order": "2026-11-21 09:30:00",
        "validity_date": "tomorrow",
        "partner_id": {"external_id": "shop.nobody"},
        "order_line": {"create": [{"product_uom_qty": "many"}]},
        "tag_ids": "1,2",
        "id": 4,
    }
    with pytest.raises(Invalid) as caught:
        await encode(wrong)
    reasons = {violation.field: violation.reason for violation in caught.value.violations}
    assert set(reasons) == {
        *(f"values.{name}" for name in wrong if name != "order_line"),
        "values.order_line.create[0].product_uom_qty",
    }
    assert reasons["values.no_such"] == "FIELD_NOT_FOUND"
    assert reasons["values.name"] == "VALUE_MISSING"
    assert reasons["values.state"] == "VALUE_INVALID"
    assert caught.value.reason == "FIELD_NOT_FOUND"


async def test_a_record_with_lines_becomes_rows_of_a_table() -> None:
    encoded, _ = await encode(
        {
            "partner_id": 7,
            "locked": False,
            "date_order": "2026-11-21T09:30:00Z",
            "tag_ids": [1, 2],
            "order_line": {
                "create": [{"product_id": 1, "product_uom_qty": 3.5}, {"product_id": 2, "product_uom_qty": 1}]
            },
        }
    )
    cells = await to_cells(ORDER, encoded, schemas)
    assert cells is not None
    columns, rows = to_table([cells], ["m.key"])
    table = [dict(zip(columns, row, strict=True)) for row in rows]
    assert table[0] == {
        "id": "m.key",
        "partner_id/.id": "7",
        "locked": "0",
        "date_order": "2026-11-21 09:30:00",
        "tag_ids/.id": "1,2",
        "order_line/product_id/.id": "1",
        "order_line/product_uom_qty": "3.5",
    }
    lines = {"order_line/product_id/.id": "2", "order_line/product_uom_qty": "1"}
    assert {name: cell for name, cell in table[1].items() if cell} == lines
    assert cells.columns == set(columns) - {"id"}


@pytest.mark.parametrize(
    "values",
    [
        {"order_line": {"create": [{"name": "x"}], "add": [4]}},
        {"order_line": {"create": [{"product_id": 1, "product_uom_qty": 3.5}, {"name": "a note"}]}},
        {"order_line": {"add": [4]}},
        {"order_line": {"create": [{}]}},
        {"data": {"a": 1}},
        {"origin_document": {"model": "res.partner", "id": 7}},
        {"note": None},
    ],
)
async def test_what_a_table_cannot_say_is_created_without_a_key(values: dict[str, Any]) -> None:
    encoded, _ = await encode(values)
    assert await to_cells(ORDER, encoded, schemas) is None


def test_a_schema_from_what_odoo_tells() -> None:
    told = {
        "state": {"type": "selection", "string": "Status", "selection": [["draft", "Quotation"]], "store": True},
        "active": {"type": "boolean", "string": "Active"},
        "price": {"type": "float", "digits": [16, 2], "string": "Price", "help": "What it costs."},
        "odd": {"type": "something_new", "string": "Odd"},
        "lines": {"type": "one2many", "relation": "a.line", "relation_field": "a_id", "string": "Lines"},
    }
    schema = to_schema("a.b", told)
    assert list(schema.fields) == sorted(told)
    assert schema.model.archive_field == "active"
    assert schema.fields["price"].scale == 2
    assert schema.fields["odd"].type is FieldType.UNSPECIFIED
    assert schema.fields["odd"].erp_type == "something_new"
    assert schema.fields["lines"].relation_field == "a_id"
    assert not schema.fields["lines"].sortable
    assert [(one.value, one.label) for one in schema.fields["state"].options] == [("draft", "Quotation")]
