"""The states of a sales order: draft, sent, sale, cancel, and the lock."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.erp.sandbox.errors import BadValue, UserError
from services.erp.sandbox.orm import searching, writing
from services.erp.sandbox.orm.behaviour import Action, Values
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.sql import one_of


def action_confirm(env: Env, ids: Sequence[int]) -> bool:
    """Turn quotations into sales orders, dated now."""
    _require(env, ids)
    if any(state not in ("draft", "sent") for state in column(env, ids, "state")):
        raise UserError("Some orders are not in a state requiring confirmation.")
    listed = one_of(ids)
    unfinished = env.value(
        f"SELECT 1 FROM sale_order_line WHERE order_id IN {listed.text} AND display_type IS NULL"
        " AND NOT is_downpayment AND product_id IS NULL",
        listed.params,
    )
    if unfinished:
        raise UserError("A line on these orders missing a product, you cannot confirm it.")
    return _write(env, ids, {"state": "sale", "date_order": env.second})


def action_cancel(env: Env, ids: Sequence[int]) -> bool | dict[str, Any]:
    """Cancel orders. Without `disable_cancel_warning` in the context a confirmed or sent order is not cancelled:
    the answer is then the dialog that a web client would show, as on a real server.
    """
    _require(env, ids)
    if any(column(env, ids, "locked")):
        raise UserError("You cannot cancel a locked order. Please unlock it first.")
    states = column(env, ids, "state")
    if env.context.get("disable_cancel_warning") or all(state == "draft" for state in states):
        return _write(env, ids, {"state": "cancel"})
    if len(ids) > 1:
        raise BadValue(f"Expected singleton: sale.order{tuple(ids)!r}")
    return {
        "name": "Cancel Sales Order" if states == ["sale"] else "Cancel Quotation",
        "type": "ir.actions.act_window",
        "res_model": "sale.order.cancel",
        "view_mode": "form",
        "target": "new",
        "context": {"default_order_id": ids[0]},
    }


def action_draft(env: Env, ids: Sequence[int]) -> bool:
    """Take cancelled and sent orders back to quotations; others stay as they are."""
    _require(env, ids)
    states = zip(ids, column(env, ids, "state"), strict=True)
    return _write(env, [identifier for identifier, state in states if state in ("cancel", "sent")], {"state": "draft"})


def action_quotation_sent(env: Env, ids: Sequence[int]) -> None:
    """Mark quotations as sent."""
    _require(env, ids)
    if any(state != "draft" for state in column(env, ids, "state")):
        raise UserError("Only draft orders can be marked as sent directly.")
    _write(env, ids, {"state": "sent"})


def action_lock(env: Env, ids: Sequence[int]) -> None:
    """Protect orders from changes. Answers nothing: the response has no result."""
    _write(env, ids, {"locked": True})


def action_unlock(env: Env, ids: Sequence[int]) -> None:
    """Allow changes again."""
    _write(env, ids, {"locked": False})


ACTIONS: Mapping[str, Action] = {
    action.__name__: action
    for action in (
        action_confirm,
        action_cancel,
        action_draft,
        action_quotation_sent,
        action_lock,
        action_unlock,
    )
}


def _require(env: Env, ids: Sequence[int]) -> None:
    searching.require(env, env.model("sale.order"), ids)


def _write(env: Env, ids: Sequence[int], values: Values) -> bool:
    writing.write(env, env.model("sale.order"), ids, values)
    return True


def column(env: Env, ids: Sequence[int], column: str) -> list[Any]:
    """Return one column of orders, in the order of the ids."""
    return [env.value(f"SELECT {column} FROM sale_order WHERE id = ?", (identifier,)) for identifier in ids]
