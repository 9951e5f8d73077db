"""Products: every variant has a template of the same name, a unit, a category and the company's sales tax."""

from collections.abc import Sequence

from services.erp.sandbox.orm import writing
from services.erp.sandbox.orm.behaviour import Behaviour, Values
from services.erp.sandbox.orm.env import Env

SHARED = ("name", "default_code", "active")


class ProductBehaviour(Behaviour):
    """What `product.product` does beyond the common operations."""

    def complete(self, env: Env, values: Values) -> None:
        """Make the template, and take the first unit, category and tax unless others are named."""
        for name, table in (("uom_id", "uom_uom"), ("categ_id", "product_category")):
            if not values.get(name):
                values[name] = env.value(f"SELECT MIN(id) FROM {table}")
        if "taxes_id" not in values:
            values["taxes_id"] = [[6, 0, [row[0] for row in env.rows("SELECT id FROM account_tax WHERE active = 1")]]]
        if not values.get("product_tmpl_id") and values.get("name"):
            template = {name: values[name] for name in SHARED if name in values}
            values["product_tmpl_id"] = writing.create(env, env.model("product.template"), template)

    def written(self, env: Env, ids: Sequence[int], values: Values) -> None:
        """Keep the templates in step."""
        shared = {name: values[name] for name in SHARED if name in values}
        if not shared:
            return
        templates = [env.value("SELECT product_tmpl_id FROM product_product WHERE id = ?", (one,)) for one in ids]
        writing.write(env, env.model("product.template"), templates, shared)

    def copying(self, env: Env, values: Values) -> None:
        """Mark the copy as one."""
        if values.get("name"):
            values["name"] = f"{values['name']} (copy)"
