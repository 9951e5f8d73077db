"""Products and what they refer to: template, category, unit of measure."""

from services.erp.sandbox.schema.fields import boolean, char, floating, many2many, many2one, selection, text
from services.erp.sandbox.schema.models import MACHINERY, Model

CATEGORY = Model(
    name="product.category",
    description="Product Category",
    fields={
        "name": char("Name", required=True),
        "complete_name": char(
            "Complete Name",
            readonly=True,
            expression=(
                "COALESCE((SELECT p.name || ' / ' FROM product_category p WHERE p.id = {t}.parent_id), '') || {t}.name"
            ),
        ),
        "parent_id": many2one("product.category", "Parent Category", on_delete="cascade"),
    },
    order="name",
    display="COALESCE((SELECT p.name || ' / ' FROM product_category p WHERE p.id = {t}.parent_id), '') || {t}.name",
    parent="parent_id",
)

UNIT = Model(
    name="uom.uom",
    description="Product Unit of Measure",
    fields={
        "name": char("Unit of Measure", required=True),
        "factor": floating("Ratio", required=True, default=1.0),
        "rounding": floating("Rounding Precision", required=True, default=0.01),
        "active": boolean("Active", default=True),
    },
    order="id",
)

TEMPLATE = Model(
    name="product.template",
    description="Product",
    fields={
        "name": char("Name", required=True),
        "default_code": char("Internal Reference"),
        "active": boolean("Active", default=True),
    },
    order="name",
    display="COALESCE('[' || {t}.default_code || '] ', '') || {t}.name",
    search_names=("name", "default_code"),
    grants=MACHINERY,
)

PRODUCT = Model(
    name="product.product",
    description="Product Variant",
    fields={
        "product_tmpl_id": many2one(
            "product.template", "Product Template", required=True, copied=False, on_delete="cascade"
        ),
        "default_code": char("Internal Reference"),
        "name": char("Name", required=True),
        "barcode": char("Barcode", copied=False),
        "active": boolean("Active", default=True),
        "type": selection(
            "Product Type",
            (("consu", "Goods"), ("service", "Service"), ("combo", "Combo")),
            required=True,
            default="consu",
        ),
        "sale_ok": boolean("Sales", default=True),
        "purchase_ok": boolean("Purchase", default=True),
        "list_price": floating("Sales Price", default=1.0, digits=(16, 2)),
        "lst_price": floating("Sales Price", column="list_price", digits=(16, 2)),
        "standard_price": floating("Cost", default=0.0, digits=(16, 2)),
        "uom_id": many2one("uom.uom", "Unit of Measure", required=True, on_delete="restrict"),
        "categ_id": many2one("product.category", "Product Category", required=True, on_delete="restrict"),
        "taxes_id": many2many("account.tax", "Sales Taxes"),
        "currency_id": many2one(
            "res.currency",
            "Currency",
            readonly=True,
            declared_stored=False,
            expression="(SELECT c.currency_id FROM res_company c ORDER BY c.id LIMIT 1)",
        ),
        "description_sale": text("Sales Description"),
    },
    order="default_code, name, id",
    display="COALESCE('[' || {t}.default_code || '] ', '') || {t}.name",
    search_names=("name", "default_code", "barcode"),
)

MODELS = (CATEGORY, UNIT, TEMPLATE, PRODUCT)
