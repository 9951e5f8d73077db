"""Sales orders: numbers, amounts, states, locks, lines."""

from typing import Any

import pytest

from services.erp.sandbox.errors import BadValue, MissingError, UserError, ValidationError
from tests.unit.erp_sandbox.conftest import Sandbox

CANCEL: dict[str, Any] = {"context": {"disable_cancel_warning": True}}


def _order(sandbox: Sandbox, *lines: dict[str, Any], **values: Any) -> int:
    order = {"partner_id": 10, "order_line": [[0, 0, line] for line in lines], **values}
    return int(sandbox("sale.order", "create", order))


def test_numbers_follow_each_other(sandbox: Sandbox) -> None:
    names = [sandbox.field("sale.order", _order(sandbox), "name") for _ in range(3)]

    assert names == ["S00004", "S00005", "S00006"]


def test_a_failed_call_leaves_nothing_behind(sandbox: Sandbox) -> None:
    before = sandbox("sale.order", "search_count", [])
    with pytest.raises(ValidationError):
        sandbox("sale.order", "create", [{"partner_id": 10}, {}])

    assert sandbox("sale.order", "search_count", []) == before
    assert sandbox.field("sale.order", _order(sandbox), "name") == "S00004"


def test_amounts_are_rounded_per_line_halves_up(sandbox: Sandbox) -> None:
    order = _order(
        sandbox,
        {"product_id": 1, "product_uom_qty": 3, "price_unit": 14.0},
        {"product_id": 2, "product_uom_qty": 1, "price_unit": 99.5},
        {"product_id": 2, "product_uom_qty": 2, "price_unit": 10.0, "discount": 25.0, "tax_id": [[5, 0, 0]]},
        {"display_type": "line_note", "name": "A note"},
    )
    [read] = sandbox("sale.order", "read", [order], ["amount_untaxed", "amount_tax", "amount_total"])

    assert (read["amount_untaxed"], read["amount_tax"], read["amount_total"]) == (156.5, 21.23, 177.73)


def test_a_line_takes_description_price_unit_and_tax_from_its_product(sandbox: Sandbox) -> None:
    [line] = sandbox.field("sale.order", _order(sandbox, {"product_id": 2}), "order_line")
    [read] = sandbox("sale.order.line", "read", [line], ["name", "price_unit", "product_uom_qty", "tax_id"])

    assert read["name"] == "[machine-large] Large machine"
    assert (read["price_unit"], read["product_uom_qty"], read["tax_id"]) == (80.0, 1.0, [1])

    sandbox("sale.order.line", "write", [line], {"product_id": 1})
    assert sandbox.field("sale.order.line", line, "price_unit") == 20.0


def test_commands_change_add_and_remove_lines(sandbox: Sandbox) -> None:
    order = _order(sandbox, {"product_id": 1}, {"product_id": 2})
    first, second = sandbox.field("sale.order", order, "order_line")
    commands = [[1, first, {"product_uom_qty": 5}], [2, second, 0], [0, 0, {"product_id": 2, "price_unit": 1.0}]]
    sandbox("sale.order", "write", [order], {"order_line": commands})

    assert sandbox.field("sale.order", order, "amount_untaxed") == 101.0
    assert second not in sandbox.field("sale.order", order, "order_line")


def test_confirm_then_cancel_then_draft(sandbox: Sandbox) -> None:
    order = _order(sandbox, {"product_id": 1})
    sandbox.wait(60)
    assert sandbox("sale.order", "action_confirm", [order]) is True
    [read] = sandbox("sale.order", "read", [order], ["state", "date_order", "invoice_status"])
    assert (read["state"], read["date_order"]) == ("sale", "2026-11-21 10:01:00")
    assert read["invoice_status"] == "to invoice"

    with pytest.raises(UserError, match="not in a state requiring confirmation"):
        sandbox("sale.order", "action_confirm", [order])
    with pytest.raises(UserError, match="must first cancel it"):
        sandbox("sale.order", "unlink", [order])

    assert sandbox("sale.order", "action_cancel", [order], **CANCEL) is True
    assert sandbox("sale.order", "action_draft", [order]) is True
    assert sandbox.field("sale.order", order, "state") == "draft"
    assert sandbox("sale.order", "unlink", [order]) is True


def test_cancel_without_the_context_only_offers_a_dialog(sandbox: Sandbox) -> None:
    order = _order(sandbox, {"product_id": 1})
    sandbox("sale.order", "action_confirm", [order])

    assert sandbox("sale.order", "action_cancel", [order])["res_model"] == "sale.order.cancel"
    assert sandbox.field("sale.order", order, "state") == "sale"
    assert sandbox("sale.order", "action_cancel", _order(sandbox)) is True


def test_a_locked_order_is_neither_cancelled_nor_changed(sandbox: Sandbox) -> None:
    order = _order(sandbox, {"product_id": 1})
    assert sandbox("sale.order", "action_lock", [order]) is None
    with pytest.raises(UserError, match="locked"):
        sandbox("sale.order", "action_cancel", [order], **CANCEL)
    with pytest.raises(UserError, match="Unit Price"):
        sandbox("sale.order.line", "write", sandbox.field("sale.order", order, "order_line"), {"price_unit": 1})

    assert sandbox("sale.order", "action_unlock", [order]) is None
    assert sandbox("sale.order", "action_cancel", [order], **CANCEL) is True


def test_goods_cannot_be_taken_out_of_a_confirmed_order(sandbox: Sandbox) -> None:
    order = _order(sandbox, {"product_id": 1}, {"display_type": "line_section", "name": "Part"})
    sandbox("sale.order", "action_confirm", [order])
    goods, section = sandbox.field("sale.order", order, "order_line")

    with pytest.raises(UserError, match="can't remove one of its lines"):
        sandbox("sale.order.line", "unlink", [goods])
    assert sandbox("sale.order.line", "unlink", [section]) is True


def test_sent_is_a_state_of_its_own(sandbox: Sandbox) -> None:
    order = _order(sandbox)
    assert sandbox("sale.order", "action_quotation_sent", [order]) is None
    assert sandbox.field("sale.order", order, "state") == "sent"
    with pytest.raises(UserError, match="Only draft orders"):
        sandbox("sale.order", "action_quotation_sent", [order])
    assert sandbox("sale.order", "action_confirm", [order]) is True


def test_a_copy_is_a_new_quotation_with_the_same_lines(sandbox: Sandbox) -> None:
    order = _order(sandbox, {"product_id": 1, "product_uom_qty": 4}, client_order_ref="PO-1", note="Thanks")
    sandbox("sale.order", "action_confirm", [order])
    [copied] = sandbox("sale.order", "copy", [order])
    [read] = sandbox("sale.order", "read", [copied], ["name", "state", "amount_total", "client_order_ref", "note"])

    assert read == {
        "id": copied,
        "name": "S00005",
        "state": "draft",
        "amount_total": sandbox.field("sale.order", order, "amount_total"),
        "client_order_ref": False,
        "note": "<p>Thanks</p>",
    }


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ({"name": "No product"}, ValidationError),
        ({"product_id": 99999}, ValidationError),
        ({"product_id": 1, "product_uom_qty": "many"}, BadValue),
    ],
)
def test_impossible_lines_are_refused(sandbox: Sandbox, line: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        _order(sandbox, line)


def test_actions_need_the_order_to_exist(sandbox: Sandbox) -> None:
    for action in ("action_confirm", "action_cancel", "action_draft", "action_lock"):
        with pytest.raises(MissingError):
            sandbox("sale.order", action, [1, 99999])
    assert sandbox.field("sale.order", 1, "state") == "draft"
