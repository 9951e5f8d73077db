"""Customers with their orders and totals, the same for every ERP, in three calls however many there are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sutler.auth import authorize
from sutler.context import Principal
from sutler.errors import NotFound, Unimplemented, invalid
from sutler.paging import Order

from services.erp import faults
from services.erp.caching import Answers
from services.erp.customers.fields import order_customers, select_customers
from services.erp.customers.order_reading import Wish, codes_of, orders_of
from services.erp.customers.search import find_by_text
from services.erp.customers.view import CustomerView
from services.erp.links import Link
from services.erp.reading import Reading
from services.erp.records import DISPLAY_NAME, DataSource, Row
from services.erp.schemas import ModelSchema
from services.erp.selecting import Selector
from services.erp.wanting import View, Wanted

Position = list[int]

Find = Callable[[], Awaitable[tuple[list[Row], Position | None]]]
"""Finds the customers of a page, and where the next one begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerList:
    """Which customers a caller lists.

    Attributes:
        ids: These, in this order; all if empty.
        filter: Over the contract's fields of a customer.
        order_by: Over the same.
        limit: How many at the most.
        after: Where the page begins.
    """

    ids: tuple[int, ...] = ()
    filter: str = ""
    order_by: str = ""
    limit: int = 50
    after: Position | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerSearch:
    """What a caller looks for; ``archived``: also archived customers."""

    query: str
    archived: bool = False
    limit: int = 50
    after: Position | None = None


@dataclass(frozen=True, slots=True)
class _Scope:
    """How one caller reads customers."""

    view: View
    customers: CustomerView
    orders: ModelSchema
    extra: tuple[str, ...]

    @property
    def models(self) -> set[str]:
        """The models that an answer is made of."""
        fields = (self.orders.fields[name] for name in self.customers.order_fields(self.orders.fields))
        lines = frozenset[str]().union(*(one.made_of for one in fields))
        held = self.customers.country_holder(self.view.schema)
        more = {held.relation} if held else set[str]()
        return {self.customers.model, self.customers.order_model, *self.view.models, *lines, *more}


class Customers:
    """Reads customers.

    Args:
        reading: Makes records of what was found.
        answers: Keeps answers of the ERP.
    """

    def __init__(self, reading: Reading, answers: Answers) -> None:
        self._reading = reading
        self._answers = answers

    async def get(
        self, link: Link, principal: Principal, wanted: Wanted, customer_id: int, wish: Wish
    ) -> tuple[Mapping[str, Any], DataSource]:
        """Returns a customer, as JSON data with the names of the contract's Customer, and where it comes from.

        Raises:
            PermissionDenied: If the caller may not read the driver's model of customers.
            NotFound: If there is none.
            Unimplemented: If the driver or the ERP has no customers with orders.
            SutlerError: Why the ERP cannot be asked.
        """
        scope = await self._scope(link, principal, wanted)
        answer, source = await self._page(
            scope, ["customer", customer_id, asdict(wish)], wanted, wish, lambda: self._read(scope, [customer_id])
        )
        if not answer["customers"]:
            raise faults.record_missing(link.name, scope.customers.model, [customer_id])
        return answer["customers"][0], source

    async def search(
        self, link: Link, principal: Principal, wanted: Wanted, search: CustomerSearch, wish: Wish
    ) -> tuple[Mapping[str, Any], DataSource]:
        """Returns a page: ``customers`` best first, and ``next``, where the next page begins. Raises as :meth:`get`."""
        scope = await self._scope(link, principal, wanted)

        async def find() -> tuple[list[Row], Position | None]:
            return await find_by_text(scope.view, scope.customers, search.query, search.archived, search.limit,
                                      search.after)  # fmt: skip

        return await self._page(scope, ["customers", asdict(search), asdict(wish)], wanted, wish, find)

    async def customer_orders(
        self, link: Link, principal: Principal, wanted: Wanted, wanted_list: CustomerList, wish: Wish
    ) -> tuple[Mapping[str, Any], DataSource]:
        """Returns a page, as :meth:`search`.

        Raises:
            NotFound: If one of the ids does not exist.
            Invalid: With FILTER_INVALID or ORDER_BY_INVALID.
            SutlerError: As :meth:`get`.
        """
        if wanted_list.ids and wanted_list.filter.strip():
            raise invalid("filter", "cannot be combined with customer_ids: leave one of them out")
        scope = await self._scope(link, principal, wanted)
        find = await self._lister(scope, wanted_list)
        return await self._page(scope, ["customerOrders", asdict(wanted_list), asdict(wish)], wanted, wish, find)

    async def _scope(self, link: Link, principal: Principal, wanted: Wanted) -> _Scope:
        customers = link.driver.customer_view()
        if customers is None:
            raise _not_offered(link, "its driver has no view of customers")
        authorize(principal, wanted.permission, [f"{link.connection.id}/{customers.model}"])
        ask = link.ask(principal, wanted.context)
        try:
            schema = await link.catalogue.schema(ask, customers.model)
            orders = await link.catalogue.schema(ask, customers.order_model)
        except NotFound as error:
            raise _not_offered(link, f"its ERP has no {error.metadata.get('model', 'such model')}") from error
        own = [DISPLAY_NAME, *customers.customer_fields(schema)]
        view = await self._reading.view(
            link, principal, replace(wanted, model=customers.model, fields=(*own, *wanted.fields))
        )
        return _Scope(view, customers, orders, wanted.fields)

    async def _page(
        self, scope: _Scope, what: Sequence[Any], wanted: Wanted, wish: Wish, find: Find
    ) -> tuple[Mapping[str, Any], DataSource]:
        async def read() -> Mapping[str, Any]:
            rows, after = await find()
            found = await orders_of(scope.view, scope.customers, scope.orders, rows, wish)
            records = await self._reading.to_records(scope.view, rows)
            codes = await codes_of(scope.view, scope.customers, [record for record, _ in records.values()])
            made = {one: _plain(scope, record, codes[one], found[one]) for one, (record, _) in records.items()}
            return {"customers": [made[row.id] for row in rows], "next": after}

        return await self._answers.search(
            scope.view, what, replace(wanted, model=scope.customers.model), scope.models, read
        )

    async def _lister(self, scope: _Scope, wanted: CustomerList) -> Find:
        view, start = scope.view, (wanted.after or [0])[0]
        order = order_customers(scope.customers, view.schema, wanted.order_by)
        if wanted.ids and not wanted.order_by.strip():
            page = wanted.ids[start : start + wanted.limit]
            after = [start + len(page)] if start + len(page) < len(wanted.ids) else None

            async def by_id() -> tuple[list[Row], Position | None]:
                return await self._existing(scope, page), after

            return by_id
        if wanted.ids:
            return self._sorted(scope, wanted, order, start)
        selector = await select_customers(scope.customers, view.schema, view.link.schemas(view.ask), wanted.filter)

        async def by_order() -> tuple[list[Row], Position | None]:
            rows = list(
                await view.link.driver.search(
                    view.ask,
                    view.schema,
                    selector,
                    fields=view.columns,
                    order=order,
                    offset=start,
                    limit=wanted.limit + 1,
                )
            )
            return rows[: wanted.limit], [start + wanted.limit] if len(rows) > wanted.limit else None

        return by_order

    def _sorted(self, scope: _Scope, wanted: CustomerList, order: Sequence[Order], start: int) -> Find:
        view, ids = scope.view, tuple(dict.fromkeys(wanted.ids))

        async def find() -> tuple[list[Row], Position | None]:
            rows = list(
                await view.link.driver.search(
                    view.ask, view.schema, Selector(ids=ids, archived=True), fields=view.columns, order=order
                )
            )
            _check_all(scope, ids, rows)
            page = rows[start : start + wanted.limit]
            return page, [start + len(page)] if start + len(page) < len(rows) else None

        return find

    async def _existing(self, scope: _Scope, ids: Sequence[int]) -> list[Row]:
        rows, _ = await self._read(scope, ids)
        _check_all(scope, ids, rows)
        found = {row.id: row for row in rows}
        return [found[one] for one in ids]

    async def _read(self, scope: _Scope, ids: Sequence[int]) -> tuple[list[Row], Position | None]:
        view = scope.view
        rows = await view.link.reads.read(
            view.ask, view.schema, list(dict.fromkeys(ids)), view.columns, binaries=view.covers.binaries
        )
        return list(rows.values()), None


def _check_all(scope: _Scope, ids: Sequence[int], rows: Sequence[Row]) -> None:
    found = {row.id for row in rows}
    missing = [one for one in dict.fromkeys(ids) if one not in found]
    if missing:
        raise faults.record_missing(scope.view.link.name, scope.customers.model, missing)


def _plain(scope: _Scope, record: Any, codes: Mapping[str, str], orders: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a customer as JSON data with the contract's names."""
    values, customers = record.values, scope.customers
    asked = dict.fromkeys(path.partition(".")[0] for path in scope.extra)
    return {
        "id": record.id,
        "display_name": record.display_name,
        "email": str(values.get(customers.email) or ""),
        "phone": str(values.get(customers.phone) or ""),
        "reference": str(values.get(customers.reference) or ""),
        "tax_id": _text(values.get(customers.tax_id)),
        "country_code": codes["country"].upper()[:2],
        "language": codes["language"],
        "company": bool(values.get(customers.company)),
        "archived": values.get(customers.active) is False,
        "values": {name: values[name] for name in asked if name in values},
        "orders": orders,
        "etag": record.etag,
        "create_time": record.create_time,
        "update_time": record.update_time,
    }


def _text(value: Any) -> str:
    return str((value.get(DISPLAY_NAME) if isinstance(value, dict) else value) or "")


def _not_offered(link: Link, cause: str) -> Unimplemented:
    return Unimplemented(
        f"{link.name} has no customers with orders: {cause}; read records instead",
        metadata={"connection": link.name, "cause": cause},
    )
