"""Imports by external id: found again, updated, all or nothing."""

from typing import Any

import pytest

from services.erp.sandbox.errors import BadValue
from tests.unit.erp_sandbox.conftest import Sandbox

COLUMNS = ["id", "partner_id/.id", "order_line/product_id/.id", "order_line/product_uom_qty", "client_order_ref"]
ROWS = [
    ["sutler.order_1", "10", "1", "2", "PO-1"],
    ["", "", "2", "3", ""],
    ["sutler.order_2", "11", "2", "1", "PO-2"],
]


def _texts(answer: dict[str, Any]) -> list[str]:
    assert answer["ids"] is False
    return [message["message"] for message in answer["messages"]]


def test_the_same_rows_again_find_the_same_records(sandbox: Sandbox) -> None:
    rows = [["sutler.a", "Ann", "a@x.example"], ["sutler.b", "Bob", "b@x.example"]]
    first = sandbox("res.partner", "load", ["id", "name", "email"], rows)
    again = sandbox("res.partner", "load", ["id", "name", "email"], [["sutler.b", "Rob", ""], rows[0]])

    assert first["messages"] == [] and first["nextrow"] == 0
    assert again["ids"] == first["ids"][::-1]
    read = sandbox("res.partner", "read", again["ids"], ["name", "email"])
    assert [(record["name"], record["email"]) for record in read] == [("Rob", False), ("Ann", "a@x.example")]
    known = sandbox("ir.model.data", "search_read", [["module", "=", "sutler"]], fields=["name", "res_id"], order="id")
    assert [(row["name"], row["res_id"]) for row in known] == [("a", first["ids"][0]), ("b", first["ids"][1])]


def test_rows_that_only_fill_lines_belong_to_the_order_above(sandbox: Sandbox) -> None:
    first, second = sandbox("sale.order", "load", COLUMNS, ROWS)["ids"]
    orders = sandbox("sale.order", "read", [first, second], ["order_line", "amount_untaxed", "client_order_ref"])

    assert [len(order["order_line"]) for order in orders] == [2, 1]
    assert [order["amount_untaxed"] for order in orders] == [280.0, 80.0]
    assert [order["client_order_ref"] for order in orders] == ["PO-1", "PO-2"]


def test_one_wrong_row_undoes_all(sandbox: Sandbox) -> None:
    before = sandbox("sale.order", "search_count", [])
    answer = sandbox("sale.order", "load", COLUMNS, [*ROWS, ["sutler.order_3", "99999", "1", "1", ""]])

    assert any("No matching record found for database id '99999'" in text for text in _texts(answer))
    assert answer["messages"][0]["rows"] == {"from": 3, "to": 3}
    assert sandbox("sale.order", "search_count", []) == before
    assert sandbox("ir.model.data", "search_count", [["module", "=", "sutler"]]) == 0


def test_references_by_external_id_and_by_name(sandbox: Sandbox) -> None:
    columns = ["name", "country_id/id", "parent_id", "category_id"]
    answer = sandbox("res.partner", "load", columns, [["Kim", "base.be", "Cedar Labs", "Customer,Reseller"]])
    [read] = sandbox("res.partner", "read", answer["ids"], ["country_id", "parent_id", "category_id", "display_name"])

    assert (read["country_id"], read["parent_id"]) == ([20, "Belgium"], [12, "Cedar Labs"])
    assert read["category_id"] == [1, 2]
    assert read["display_name"] == "Cedar Labs, Kim"


@pytest.mark.parametrize(
    ("column", "cell", "text"),
    [
        ("country_id/id", "base.zz", "No matching record found for external id 'base.zz' in field 'Country'"),
        ("country_id", "Nowhere", "No matching record found for name 'Nowhere' in field 'Country'"),
        ("color", "red", "'red' does not seem to be an integer for field 'Color Index'"),
        ("partner_latitude", "north", "'north' does not seem to be a number for field 'Geo Latitude'"),
        ("is_company", "maybe", "Unknown value 'maybe' for boolean field 'Is a Company'"),
        (".id", "99999", "Unknown database identifier '99999'"),
    ],
)
def test_what_is_wrong_is_told(sandbox: Sandbox, column: str, cell: str, text: str) -> None:
    answer = sandbox("res.partner", "load", ["name", column], [["Kim", cell]])

    assert _texts(answer) == [text]


def test_a_broken_constraint_is_a_message_too(sandbox: Sandbox) -> None:
    answer = sandbox("res.partner", "load", ["id", "email"], [["sutler.nameless", "x@x.example"]])

    assert _texts(answer) == ["The operation cannot be completed: Contacts require a name"]


def test_imported_times_are_local_to_the_user(sandbox: Sandbox) -> None:
    columns = ["partner_id/.id", "commitment_date"]
    [order] = sandbox("sale.order", "load", columns, [["10", "2026-12-01 09:00:00"]])["ids"]
    [other] = sandbox("sale.order", "load", columns, [["10", "2026-12-01 09:00:00"]], context={"tz": "UTC"})["ids"]

    assert sandbox.field("sale.order", order, "commitment_date") == "2026-12-01 08:00:00"
    assert sandbox.field("sale.order", other, "commitment_date") == "2026-12-01 09:00:00"


def test_an_external_id_of_a_deleted_record_is_free_again(sandbox: Sandbox) -> None:
    [first] = sandbox("res.partner", "load", ["id", "name"], [["sutler.a", "Ann"]])["ids"]
    sandbox("res.partner", "unlink", [first])
    [second] = sandbox("res.partner", "load", ["id", "name"], [["sutler.a", "Ann"]])["ids"]

    assert second > first


def test_an_unknown_column_is_the_callers_error(sandbox: Sandbox) -> None:
    with pytest.raises(BadValue):
        sandbox("res.partner", "load", ["id", "nope"], [["sutler.a", "x"]])
