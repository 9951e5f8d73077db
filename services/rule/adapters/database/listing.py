"""Lists: filter, order and pages over one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import orjson
from sutler.filtering import Field, Kind, Schema, after_sql, order_sql, parse, position
from sutler.paging import Order, parse_order_by
from sutler.store import Transaction

from services.rule.queries import Found, Query

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One kind of list.

    Attributes:
        table: The table, or a join.
        columns: What is selected.
        schema: What can be filtered and ordered by.
        default: The order if the caller names none; its last field tells all rows apart.
        make: Makes an item of a row.
        keys: Fields that are ordered by and cannot be named by callers, such as a sequence number.
        tenant: The column with the tenant.
    """

    table: str
    columns: str
    schema: Schema
    default: tuple[Order, ...]
    make: Callable[[Sequence[Any]], T]
    keys: Mapping[str, Field] | None = None
    tenant: str = "tenant"

    def find(
        self, tx: Transaction, tenant: str, query: Query, condition: str = "", values: Sequence[Any] = ()
    ) -> Found[T]:
        """Returns one page.

        Args:
            tx: The read.
            tenant: Whose things.
            query: What the caller asks for.
            condition: What must hold besides, in SQL that we wrote.
            values: Its parameters.

        Raises:
            Invalid: If the filter or the order is wrong (FILTER_INVALID, ORDER_BY_INVALID).
        """
        schema = Schema({**self.schema.fields, **(self.keys or {})})
        orders = parse_order_by(query.order_by, self.schema.orderable, self.default)
        wanted, params = parse(query.filter, self.schema).sql(tx.dialect)
        where = [f"{self.tenant} = ?", *([condition] if condition else []), f"({wanted})"]
        params = (tenant, *values, *params)
        if query.after is not None:
            after, more = after_sql(orders, schema, query.after, tx.dialect)
            where.append(f"({after})")
            params += more
        order, more = order_sql(orders, schema, tx.dialect)
        places = {order.field.split(".")[0]: schema.fields[order.field.split(".")[0]] for order in orders}
        extra = "".join(f", {field.column}" for field in places.values())
        rows = tx.all(
            f"SELECT {self.columns}{extra} FROM {self.table} WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?",
            (*params, *more, query.size + 1),
        )
        width = len(self.columns.split(", "))
        kept = rows[: query.size]
        positions = [position(_item(places, row[width:]), orders, schema) for row in kept]
        return Found([self.make(row[:width]) for row in kept], positions, len(rows) > len(kept))


def _item(places: Mapping[str, Field], values: Sequence[Any]) -> dict[str, Any]:
    return {name: _value(field, value) for (name, field), value in zip(places.items(), values, strict=True)}


def _value(field: Field, value: Any) -> Any:
    if value is None or not field.is_json:
        return bool(value) if field.kind is Kind.BOOL and value is not None else value
    value = orjson.loads(value)
    for key in field.json:
        value = value.get(key) if isinstance(value, dict) else None
    return value
