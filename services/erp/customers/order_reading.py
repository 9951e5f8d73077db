"""Reading the orders of a page of customers: a call for 1000 orders, and one for their contacts if there are any."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from services.erp.customers.orders import Order, Summary, decimal, moment, owners
from services.erp.customers.view import CustomerView, OrderState
from services.erp.records import DISPLAY_NAME, Record, Row
from services.erp.schemas import FieldType, ModelSchema
from services.erp.selecting import Selector, select
from services.erp.wanting import View

PAGE = 1000
"""How many orders are read in one call."""

MAX_CODES = 1000
"""How many codes of a model are read at once; one beyond them is read for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Which orders a caller wants.

    Attributes:
        limit: The most to return of each customer, newest first.
        since: Only those of this date or later, in epoch seconds; None for all.
        until: Only those before this date; None for all.
    """

    limit: int
    since: float | None = None
    until: float | None = None


async def orders_of(
    view: View, customers: CustomerView, schema: ModelSchema, rows: Sequence[Row], wish: Wish
) -> dict[int, dict[str, Any]]:
    """Returns the orders of each customer, with totals as :class:`services.erp.customers.orders.Summary` has them.

    Args:
        view: How the caller reads.
        customers: Where orders are.
        schema: The model of orders.
        rows: The customers.
        wish: Which orders.
    """
    found = {row.id: Summary(wish.limit) for row in rows}
    parents = {row.id: _id(row.values.get(customers.parent)) for row in rows}
    async for orders in _pages(view, customers, schema, list(found), wish):
        parents |= await _contacts(view, customers, list(found), parents, orders)
        theirs: dict[int, list[Order]] = {}
        for order in orders:
            for one in owners(order, found, parents):
                theirs.setdefault(one, []).append(order)
        for one, own in theirs.items():
            found[one].add(own)
    return {row.id: found[row.id].plain(row.id, row.display_name) for row in rows}


async def codes_of(view: View, customers: CustomerView, records: Sequence[Record]) -> dict[int, dict[str, str]]:
    """Returns the codes of country and language of each customer."""
    countries = await _countries(view, customers, records)
    return {
        record.id: {
            "country": countries[record.id],
            "language": await _code(view, view.schema, customers.language, record.values),
        }
        for record in records
    }


async def _pages(
    view: View, customers: CustomerView, schema: ModelSchema, ids: Sequence[int], wish: Wish
) -> AsyncIterator[list[Order]]:
    """Yields orders by id, in pages: those of many years need not fit into one answer."""
    if not ids:
        return
    below = "child_of" if customers.parent else "in"
    selector = await select(
        schema,
        view.link.schemas(view.ask),
        filter=_window(customers, schema, wish),
        domain=[[customers.order_customer, below, list(ids)]],
        archived=True,
    )
    fields = [DISPLAY_NAME, *customers.order_fields(schema.fields)]
    while True:
        rows = list(await view.link.driver.search(view.ask, schema, selector, fields=fields, limit=PAGE))
        yield [await _order(view, customers, schema, row) for row in rows]
        if len(rows) < PAGE:
            return
        selector = replace(selector, after_id=rows[-1].id)


async def _contacts(
    view: View,
    customers: CustomerView,
    ids: Sequence[int],
    parents: Mapping[int, int | None],
    orders: Sequence[Order],
) -> dict[int, int | None]:
    """Returns to whom those belong who are between an order and a customer of the page and not on it."""
    if len(ids) == 1:
        [only] = ids
        return {order.customer_id: only for order in orders if order.customer_id != only}
    named = {order.customer_id for order in orders}
    unknown = {one for one in named if one not in parents}
    unknown |= {above for one in named if (above := parents.get(one)) is not None and above not in parents}
    if not unknown or not customers.parent:
        return {}
    rows = await view.link.driver.search(
        view.ask,
        view.schema,
        Selector(domain=(["id", "parent_of", sorted(unknown)],), archived=True),
        fields=[customers.parent],
    )
    return {row.id: _id(row.values.get(customers.parent)) for row in rows if row.id not in parents}


async def _order(view: View, customers: CustomerView, schema: ModelSchema, row: Row) -> Order:
    values = row.values
    erp_state = str(values.get(customers.order_state) or "")
    return Order(
        id=row.id,
        display_name=row.display_name,
        customer_id=_id(values.get(customers.order_customer)) or 0,
        state=customers.states.get(erp_state, OrderState.UNSPECIFIED),
        erp_state=erp_state,
        order_time=moment(values.get(customers.order_time)),
        total=decimal(values.get(customers.order_total)),
        untaxed=decimal(values.get(customers.order_untaxed)) if customers.order_untaxed in values else None,
        currency=await _code(view, schema, customers.currency, values),
        update_time=row.update_time,
    )


async def _countries(view: View, customers: CustomerView, records: Sequence[Record]) -> dict[int, str]:
    """Returns the code of each customer's country; where it stands in addresses, of the first that has one."""
    held = customers.country_holder(view.schema)
    if held is None:
        return {one.id: await _code(view, view.schema, customers.country, one.values) for one in records}
    found = {one.id: "" for one in records}
    if not found:
        return found
    _, _, path = customers.country.partition(".")
    schema = await view.link.schemas(view.ask)(held.relation)
    rows = await view.link.driver.search(
        view.ask,
        schema,
        Selector(domain=([held.relation_field, "in", list(found)],)),
        fields=[held.relation_field, path.partition(".")[0]],
    )
    for row in rows:
        owner = _id(row.values.get(held.relation_field))
        if owner in found and not found[owner]:
            found[owner] = await _code(view, schema, path, row.values)
    return found


async def _code(view: View, schema: ModelSchema, path: str, values: Mapping[str, Any]) -> str:
    """Returns a code: a text of the record itself, or one behind a relation, or the relation's title."""
    name, _, below = path.partition(".")
    value = values.get(name)
    if not isinstance(value, dict):
        return str(value or "")
    if not below:
        return str(value.get(DISPLAY_NAME) or "")
    model, catalogue = schema.fields[name].relation, view.link.catalogue

    async def read(selector: Selector) -> dict[int, str]:
        related = await view.link.schemas(view.ask)(model)
        rows = await view.link.driver.search(view.ask, related, selector, fields=[below], limit=MAX_CODES)
        return {row.id: str(row.values.get(below) or "") for row in rows}

    record_id = value["id"]
    codes = await catalogue.remembered(("codes", below), view.ask, model, lambda: read(Selector(archived=True)))
    if record_id not in codes:
        one = Selector(ids=(record_id,), archived=True)
        codes = await catalogue.remembered(("code", below, record_id), view.ask, model, lambda: read(one))
    return codes.get(record_id, "")


def _window(customers: CustomerView, schema: ModelSchema, wish: Wish) -> str:
    """Returns the filter for the dates of orders."""
    known = schema.fields[customers.order_time]

    def told(seconds: float) -> str:
        text = datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
        return f'"{text[:10]}"' if known.type is FieldType.DATE else text

    bounds = [(">=", wish.since), ("<", wish.until)]
    return " AND ".join(f"{known.field} {operator} {told(one)}" for operator, one in bounds if one is not None)


def _id(value: Any) -> int | None:
    return int(value["id"]) if isinstance(value, dict) else None
