"""Amounts: of lines from price, quantity, discount and taxes; of orders from their lines. Rounded per line."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from services.erp.sandbox.orm import writing
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.sql import one_of
from services.erp.sandbox.orm.values import round_half_up


def refresh_lines(env: Env, ids: Sequence[int]) -> None:
    """Work out the amounts of lines and of their orders."""
    columns = "l.id, l.price_unit, l.product_uom_qty, l.discount"
    for identifier, price, quantity, discount in line_rows(env, ids, columns):
        percent = env.value(
            "SELECT SUM(x.amount) FROM sale_order_line__tax_id p JOIN account_tax x ON x.id = p.there WHERE p.here = ?",
            (identifier,),
        )
        reduced = Decimal(repr(price or 0.0)) * (1 - Decimal(repr(discount or 0.0)) / 100)
        subtotal = round_half_up(float(reduced * Decimal(repr(quantity or 0.0))), 2)
        tax = round_half_up(float(Decimal(repr(subtotal)) * Decimal(repr(percent or 0.0)) / 100), 2)
        amounts = {"price_subtotal": subtotal, "price_tax": tax, "price_total": round_half_up(subtotal + tax, 2)}
        writing.update(env, env.model("sale.order.line"), [identifier], amounts)
    refresh_orders(env, [row[0] for row in line_rows(env, ids, "o.id")])


def refresh_orders(env: Env, ids: Sequence[int]) -> None:
    """Add up the lines of orders. An order whose amounts change is stamped as changed."""
    for identifier in dict.fromkeys(ids):
        untaxed, tax = env.rows(
            "SELECT COALESCE(SUM(price_subtotal), 0.0), COALESCE(SUM(price_tax), 0.0) FROM sale_order_line"
            " WHERE order_id = ?",
            (identifier,),
        )[0]
        amounts = [round_half_up(untaxed, 2), round_half_up(tax, 2), round_half_up(untaxed + tax, 2)]
        old = env.rows("SELECT amount_untaxed, amount_tax, amount_total FROM sale_order WHERE id = ?", (identifier,))
        if old and list(old[0]) != amounts:
            columns = ("amount_untaxed", "amount_tax", "amount_total")
            writing.update(env, env.model("sale.order"), [identifier], dict(zip(columns, amounts, strict=True)))


def line_rows(env: Env, ids: Sequence[int], columns: str) -> list[tuple[Any, ...]]:
    """Return columns of lines (`l`) and of their orders (`o`)."""
    listed = one_of(ids)
    return env.rows(
        f"SELECT {columns} FROM sale_order_line l JOIN sale_order o ON o.id = l.order_id WHERE l.id IN {listed.text}",
        listed.params,
    )
