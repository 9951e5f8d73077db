"""Order lines: description, price, unit and taxes from the product, amounts from price and quantity."""

from collections.abc import Callable, Sequence

from services.erp.sandbox.business.amounts import line_rows, refresh_lines, refresh_orders
from services.erp.sandbox.errors import UserError
from services.erp.sandbox.orm.behaviour import Behaviour, Values
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.reading import display_names

EMPTY = {"product_id": False, "product_uom": False, "price_unit": 0.0, "product_uom_qty": 0.0, "customer_lead": 0.0}
PRICED = frozenset({"product_id", "product_uom_qty", "price_unit", "discount", "tax_id", "order_id", "display_type"})
PROTECTED = ("product_id", "name", "price_unit", "product_uom", "product_uom_qty", "tax_id")


class LineBehaviour(Behaviour):
    """What `sale.order.line` does beyond the common operations."""

    def complete(self, env: Env, values: Values) -> None:
        """Fill in what follows from the product; sections and notes have none."""
        if values.get("display_type"):
            values.update(EMPTY)
            return
        values.setdefault("product_uom_qty", 1.0)
        _from_product(env, values)
        values.setdefault("price_unit", 0.0)

    def created(self, env: Env, identifier: int, values: Values) -> None:
        """Work out the amounts of the line and its order."""
        refresh_lines(env, [identifier])

    def writing(self, env: Env, ids: Sequence[int], values: Values) -> None:
        """Protect locked orders and the type of lines; a new product brings its description and price."""
        if "display_type" in values and any(
            row[0] != (values["display_type"] or None) for row in line_rows(env, ids, "l.display_type")
        ):
            raise UserError(
                "You cannot change the type of a sale order line. Instead you should delete the current line and "
                "create a new line of the proper type."
            )
        touched = [name for name in PROTECTED if name in values]
        if touched and any(row[0] for row in line_rows(env, ids, "o.locked")):
            labels = "\n".join(env.model("sale.order.line").fields[name].string for name in touched)
            raise UserError(f"It is forbidden to modify the following fields in a locked order:\n{labels}")
        if values.get("product_id"):
            _from_product(env, values)

    def written(self, env: Env, ids: Sequence[int], values: Values) -> None:
        """Work out the amounts again if they may have changed."""
        if PRICED & values.keys():
            refresh_lines(env, ids)

    def unlinking(self, env: Env, ids: Sequence[int]) -> Callable[[], None]:
        """Refuse to take goods out of a confirmed order; afterwards add up the orders."""
        if any(state == "sale" and not kind for state, kind in line_rows(env, ids, "o.state, l.display_type")):
            raise UserError(
                "Once a sales order is confirmed, you can't remove one of its lines (we need to track if something "
                "gets invoiced or delivered).\nSet the quantity to 0 instead."
            )
        affected = [row[0] for row in line_rows(env, ids, "o.id")]
        return lambda: refresh_orders(env, affected)


def _from_product(env: Env, values: Values) -> None:
    product = values.get("product_id") or 0
    found = env.rows("SELECT list_price, uom_id, description_sale FROM product_product WHERE id = ?", (product,))
    if not found:
        return
    price, unit, description = found[0]
    if not values.get("name"):
        title = display_names(env, env.model("product.product"), [product])[product]
        values["name"] = f"{title}\n{description}" if description else title
    values["product_uom"] = values.get("product_uom") or unit
    values.setdefault("price_unit", price)
    if "tax_id" not in values:
        taxes = env.rows("SELECT there FROM product_product__taxes_id WHERE here = ?", (product,))
        values["tax_id"] = [[6, 0, [row[0] for row in taxes]]]
