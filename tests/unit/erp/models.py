"""Small models for tests of the domain."""

from __future__ import annotations

from services.erp.schemas import FieldType, Model, ModelField, ModelSchema, SelectionOption


def a_field(name: str, kind: FieldType, **more: object) -> ModelField:
    return ModelField(field=name, type=kind, **more)  # type: ignore[arg-type]


def a_schema(model: str, *fields: ModelField) -> ModelSchema:
    own = (a_field("id", FieldType.INTEGER), a_field("display_name", FieldType.STRING))
    return ModelSchema(Model(model=model), {one.field: one for one in (*own, *fields)})


COUNTRY = a_schema("res.country", a_field("code", FieldType.STRING))
PARTNER = a_schema(
    "res.partner",
    a_field("name", FieldType.STRING),
    a_field("active", FieldType.BOOLEAN),
    a_field("country_id", FieldType.MANY_TO_ONE, relation="res.country"),
)
PRODUCT = a_schema("product.product", a_field("default_code", FieldType.STRING))
LINE = a_schema(
    "sale.order.line",
    a_field("name", FieldType.TEXT),
    a_field("product_id", FieldType.MANY_TO_ONE, relation="product.product"),
    a_field("product_uom_qty", FieldType.FLOAT),
    a_field("tax_id", FieldType.MANY_TO_MANY, relation="account.tax"),
)
TAG = a_schema("crm.tag", a_field("name", FieldType.STRING))
ORDER = a_schema(
    "sale.order",
    a_field("name", FieldType.STRING, required=True),
    a_field("note", FieldType.HTML),
    a_field("locked", FieldType.BOOLEAN),
    a_field("priority", FieldType.INTEGER),
    a_field("weight", FieldType.FLOAT),
    a_field("amount_total", FieldType.MONETARY),
    a_field("date_order", FieldType.DATETIME),
    a_field("validity_date", FieldType.DATE),
    a_field(
        "state",
        FieldType.SELECTION,
        options=(SelectionOption("draft", "Quotation"), SelectionOption("sale", "Sales Order")),
    ),
    a_field("partner_id", FieldType.MANY_TO_ONE, relation="res.partner"),
    a_field("order_line", FieldType.ONE_TO_MANY, relation="sale.order.line"),
    a_field("tag_ids", FieldType.MANY_TO_MANY, relation="crm.tag"),
    a_field("image", FieldType.BINARY),
    a_field("origin_document", FieldType.REFERENCE),
    a_field("data", FieldType.JSON),
)
SCHEMAS = {schema.name: schema for schema in (COUNTRY, PARTNER, PRODUCT, LINE, TAG, ORDER)}


async def schemas(model: str) -> ModelSchema:
    return SCHEMAS[model]
