"""What the driver knows of Tryton's common models: which fields matter, and which changes have a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.erp.customers.view import CustomerView, OrderState
from services.erp.schemas import FieldType, ModelSchema
from services.erp.subscriptions import Transition

VIEWS = {
    "party.party": ("name", "code", "email", "phone", "active"),
    "sale.sale": (
        "number",
        "state",
        "party",
        "sale_date",
        "reference",
        "total_amount",
        "currency",
        "lines.product",
        "lines.product.code",
        "lines.quantity",
    ),
    "product.product": ("code", "template", "active"),
}
ENTITIES = {"party.party": "partner", "sale.sale": "order"}

LOG_FIELDS = frozenset({"id", "create_date", "create_uid", "write_date", "write_uid", "last_modified_at", "xml_id"})
COMPLEX = frozenset(
    {FieldType.BINARY, FieldType.ONE_TO_MANY, FieldType.MANY_TO_MANY, FieldType.JSON, FieldType.UNSPECIFIED}
)
MAX_VIEW = 50

OPEN = ("draft", "quotation", "cancelled")
FIRM = ("confirmed", "processing", "done")
TRANSITIONS = {
    # A confirmed sale goes on to `processing` at once, where nothing has to wait.
    "sale.sale": (
        Transition(field="state", old_values=OPEN, new_values=FIRM, event_type="order.confirmed"),
        Transition(field="state", new_values=("cancelled",), event_type="order.cancelled"),
    )
}


def _match(pattern: str, fields: Sequence[str]) -> Sequence[Any]:
    return ["OR", *([name, "ilike", pattern] for name in fields)]


CUSTOMERS = CustomerView(
    model="party.party",
    email="email",
    phone="phone",
    reference="code",
    tax_id="tax_identifier",
    country="addresses.country.code",
    language="lang.code",
    searched=("name", "code"),
    match=_match,
    order_model="sale.sale",
    order_customer="party",
    order_time="sale_date",
    order_total="total_amount",
    order_untaxed="untaxed_amount",
    currency="currency.code",
    states={
        "draft": OrderState.DRAFT,
        "quotation": OrderState.DRAFT,
        "confirmed": OrderState.CONFIRMED,
        "processing": OrderState.CONFIRMED,
        "done": OrderState.DONE,
        "cancelled": OrderState.CANCELLED,
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
        if field.stored and field.type not in COMPLEX and name not in LOG_FIELDS
    ]
    return tuple(simple[:MAX_VIEW])


def entity(model: str) -> str:
    """Returns the first part of the types of a model's events."""
    return ENTITIES.get(model) or model.replace(".", "_").replace("-", "_").lower()


def transitions(model: str) -> tuple[Transition, ...]:
    """Returns which changes of a model have an event of their own."""
    return TRANSITIONS.get(model, ())
