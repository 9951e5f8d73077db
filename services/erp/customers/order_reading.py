"""Reading the orders of a page of customers: one call for the orders, one for the contacts if there are any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sutler.paging import Order as By

from services.erp.customers.orders import Order, by_customer, decimal, moment, summary
from services.erp.customers.view import CustomerView, OrderState
from services.erp.records import DISPLAY_NAME, Record, Row
from services.erp.schemas import FieldType, ModelSchema
from services.erp.selecting import Selector, select
from services.erp.wanting import View

MAX_CODES = 10_000


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


class CustomerOrders:
    """Reads orders, and remembers the few codes of countries, languages and currencies behind relations."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, int, str, str, int], str] = {}

    async def of(
        self, view: View, customers: CustomerView, schema: ModelSchema, rows: Sequence[Row], wish: Wish
    ) -> dict[int, dict[str, Any]]:
        """Returns the orders of each customer, with totals as :func:`services.erp.customers.orders.summary` has them.

        Args:
            view: How the caller reads.
            customers: Where orders are.
            schema: The model of orders.
            rows: The customers.
            wish: Which orders.
        """
        if not rows:
            return {}
        ids = [row.id for row in rows]
        orders = await self._read(view, customers, schema, ids, wish)
        parents = {row.id: _id(row.values.get(customers.parent)) for row in rows}
        parents |= await self._contacts(view, customers, parents, orders)
        found = by_customer(ids, orders, parents)
        return {row.id: summary(row.id, row.display_name, found[row.id], wish.limit) for row in rows}

    async def codes(self, view: View, customers: CustomerView, records: Iterable[Record]) -> dict[int, dict[str, str]]:
        """Returns the codes of country and language of each customer."""
        found: dict[int, dict[str, str]] = {}
        for record in records:
            found[record.id] = {
                name: await self._code(view, view.schema, path, record.values)
                for name, path in (("country", customers.country), ("language", customers.language))
            }
        return found

    async def _read(
        self, view: View, customers: CustomerView, schema: ModelSchema, ids: Sequence[int], wish: Wish
    ) -> list[Order]:
        below = "child_of" if customers.parent else "in"
        selector = await select(
            schema,
            view.link.schemas(view.ask),
            filter=_window(customers, schema, wish),
            domain=[[customers.order_customer, below, list(ids)]],
            archived=True,
        )
        rows = await view.link.driver.search(
            view.ask,
            schema,
            selector,
            fields=[DISPLAY_NAME, *customers.order_fields(schema.fields)],
            order=(By(customers.order_time, descending=True), By("id", descending=True)),
        )
        return [await self._order(view, customers, schema, row) for row in rows]

    async def _contacts(
        self, view: View, customers: CustomerView, parents: Mapping[int, int | None], orders: Sequence[Order]
    ) -> dict[int, int | None]:
        """Returns to whom those belong who are between an order and a customer of the page and not on it."""
        if len(parents) == 1:
            [only] = parents
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

    async def _order(self, view: View, customers: CustomerView, schema: ModelSchema, row: Row) -> Order:
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
            currency=await self._code(view, schema, customers.currency, values),
            update_time=row.update_time,
        )

    async def _code(self, view: View, schema: ModelSchema, path: str, values: Mapping[str, Any]) -> str:
        """Returns a code: a text of the record itself, or one behind a relation, or the relation's title."""
        name, _, below = path.partition(".")
        value = values.get(name)
        if not isinstance(value, dict):
            return str(value or "")
        if not below:
            return str(value.get(DISPLAY_NAME) or "")
        model, link = schema.fields[name].relation, view.link
        key = (link.connection.uid, link.connection.epoch, model, below, value["id"])
        if key not in self._codes:
            await self._learn(view, model, below, value["id"])
        return self._codes.get(key, "")

    async def _learn(self, view: View, model: str, field: str, record_id: int) -> None:
        """Reads a code, and all others of the model with it: there are few."""
        connection = view.link.connection
        schema = await view.link.schemas(view.ask)(model)
        rows = await view.link.driver.search(view.ask, schema, Selector(archived=True), fields=[field], limit=1000)
        if all(row.id != record_id for row in rows):
            rows = [*rows, *await view.link.driver.read(view.ask, schema, [record_id], [field])]
        if len(self._codes) > MAX_CODES:
            self._codes.clear()
        for row in rows:
            key = (connection.uid, connection.epoch, model, field, row.id)
            self._codes[key] = str(row.values.get(field) or "")


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
