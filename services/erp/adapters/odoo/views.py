"""What the driver knows of Odoo's common models: which fields matter, and which changes have a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.erp.customers.view import CustomerView, OrderState
from services.erp.schemas import FieldType, ModelSchema
from services.erp.subscriptions import Transition

VIEWS = {
    "res.partner": ("name", "email", "phone", "is_company", "parent_id", "country_id", "vat", "ref", "active"),
    "sale.order": (
        "name",
        "state",
        "partner_id",
        "date_order",
        "client_order_ref",
        "amount_total",
        "currency_id",
        "order_line.product_id",
        "order_line.product_id.default_code",
        "order_line.product_uom_qty",
    ),
    "product.product": ("name", "default_code", "lst_price", "active"),
}
ENTITIES = {"res.partner": "partner", "sale.order": "order"}

LOG_FIELDS = frozenset({"id", "create_date", "create_uid", "write_date", "write_uid", "__last_update"})
SIMPLE = frozenset(FieldType) - {
    FieldType.BINARY,
    FieldType.ONE_TO_MANY,
    FieldType.MANY_TO_MANY,
    FieldType.JSON,
    FieldType.UNSPECIFIED,
}
MAX_VIEW = 50

TRANSITIONS = {
    # From any state but those of a confirmed order: `done` is a confirmed order that is locked, up to Odoo 16.
    "sale.order": (
        Transition(
            field="state",
            old_values=("draft", "sent", "cancel"),
            new_values=("sale", "done"),
            event_type="order.confirmed",
        ),
        Transition(field="state", new_values=("cancel",), event_type="order.cancelled"),
    )
}


def _match(pattern: str, fields: Sequence[str]) -> list[Any]:
    return ["|"] * (len(fields) - 1) + [[name, "=ilike", pattern] for name in fields]


CUSTOMERS = CustomerView(
    model="res.partner",
    email="email",
    phone="phone",
    reference="ref",
    tax_id="vat",
    country="country_code",
    language="lang",
    company="is_company",
    parent="parent_id",
    searched=("name", "email", "phone", "mobile", "ref", "vat"),
    match=_match,
    order_model="sale.order",
    order_customer="partner_id",
    order_time="date_order",
    order_total="amount_total",
    order_untaxed="amount_untaxed",
    currency="currency_id",
    states={
        "draft": OrderState.DRAFT,
        "sent": OrderState.DRAFT,
        "sale": OrderState.CONFIRMED,
        "done": OrderState.DONE,
        "cancel": OrderState.CANCELLED,
    },
)


def view(schema: ModelSchema) -> tuple[str, ...]:
    """Returns the fields of a model that matter to most: a fixed list, or all stored simple ones."""
    known = VIEWS.get(schema.name)
    if known is not None:
        return tuple(path for path in known if path.partition(".")[0] in schema.fields)
    simple = [
        name
        for name, field in schema.fields.items()
        if field.stored and field.type in SIMPLE and name not in LOG_FIELDS
    ]
    return tuple(simple[:MAX_VIEW])


def entity(model: str) -> str:
    """Returns the first part of the types of a model's events."""
    return ENTITIES.get(model) or model.replace(".", "_").replace("-", "_").lower()


def transitions(model: str) -> tuple[Transition, ...]:
    """Returns which changes of a model have an event of their own."""
    return TRANSITIONS.get(model, ())
