"""Sales orders: number, date, addresses, and what may be deleted."""

from collections.abc import Callable, Sequence

from services.erp.sandbox.business.amounts import refresh_orders
from services.erp.sandbox.business.states import ACTIONS, column
from services.erp.sandbox.errors import UserError
from services.erp.sandbox.orm.behaviour import Behaviour, Values
from services.erp.sandbox.orm.env import Env

SEQUENCE = "sale.order"


class OrderBehaviour(Behaviour):
    """What `sale.order` does beyond the common operations."""

    actions = ACTIONS

    def complete(self, env: Env, values: Values) -> None:
        """Give the order its number, date, salesperson, company, currency and addresses."""
        if not values.get("name") or values["name"] == "New":
            values["name"] = next_name(env)
        values["date_order"] = values.get("date_order") or env.second
        values.setdefault("user_id", env.user.id)
        values["company_id"] = values.get("company_id") or env.user.company_id
        values["currency_id"] = env.value("SELECT currency_id FROM res_company WHERE id = ?", (values["company_id"],))
        if values.get("partner_id"):
            for name, kind in (("partner_invoice_id", "invoice"), ("partner_shipping_id", "delivery")):
                values[name] = values.get(name) or _address(env, values["partner_id"], kind)

    def created(self, env: Env, identifier: int, values: Values) -> None:
        """Work out the amounts."""
        refresh_orders(env, [identifier])

    def unlinking(self, env: Env, ids: Sequence[int]) -> Callable[[], None]:
        """Refuse to delete what a customer has seen."""
        if any(state not in ("draft", "cancel") for state in column(env, ids, "state")):
            raise UserError("You can not delete a sent quotation or a confirmed sales order. You must first cancel it.")
        return super().unlinking(env, ids)


def next_name(env: Env) -> str:
    """Take the next number: S00001, S00002, …"""
    env.execute("UPDATE sandbox_sequence SET following = following + 1 WHERE code = ?", (SEQUENCE,))
    following = env.value("SELECT following FROM sandbox_sequence WHERE code = ?", (SEQUENCE,))
    return f"S{following - 1:05d}"


def _address(env: Env, partner: int, kind: str) -> int:
    sql = "SELECT id FROM res_partner WHERE parent_id = ? AND type = ? AND active = 1 ORDER BY id LIMIT 1"
    return int(env.value(sql, (partner, kind)) or partner)
