"""Orders, and where the next page begins: ORDER BY, the condition for what comes after, and positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sutler.errors import invalid
from sutler.filtering.fragments import FALSE, TRUE, Dialect, Param, Sql, join, param, sql
from sutler.filtering.predicate import Item, as_type, look_up
from sutler.filtering.schema import Ref, Schema, Type
from sutler.filtering.sql import SqlCompiler
from sutler.paging import Order

_OPEN_TYPES = (Type.BOOL, Type.NUMBER, Type.TEXT)
"""The types of an open field, in their order. Absent values come before all, as do lists and objects."""


@dataclass(frozen=True, slots=True)
class _Key:
    """One value that rows are ordered by; an open field needs several."""

    value: Sql
    descending: bool
    required: bool


def order_sql(orders: Sequence[Order], schema: Schema, dialect: Dialect) -> tuple[str, tuple[Param, ...]]:
    """Returns what follows ORDER BY, and its parameters.

    Absent values come first, with ``desc`` last; both engines agree. In an open field come absent values, lists and
    objects, then false, true, numbers, text. Text orders by code point, enums by what is stored.

    Args:
        orders: From :func:`sutler.paging.parse_order_by` with :attr:`Schema.orderable`.
        schema: The fields.
        dialect: The engine.
    """
    parts = []
    for key in _keys(orders, schema, dialect):
        direction = "DESC" if key.descending else "ASC"
        nulls = "" if key.required else " NULLS LAST" if key.descending else " NULLS FIRST"
        parts.append(sql(f"{{}} {direction}{nulls}", key.value))
    return ", ".join(part.text for part in parts), tuple(value for part in parts for value in part.params)


def after_sql(
    orders: Sequence[Order], schema: Schema, last: Sequence[Any], dialect: Dialect
) -> tuple[str, tuple[Param, ...]]:
    """Returns the condition for rows that come after a position, and its parameters; for the WHERE of the next page.

    It begins with a range over the first field, which an index can answer. It may be NULL where it is not TRUE, so do
    not negate it.

    Args:
        orders: As for :func:`order_sql`; the last must tell all rows apart.
        schema: The fields.
        last: The :func:`position` of the last row.
        dialect: The engine.

    Raises:
        Invalid: If the position was made for other orders (PAGE_TOKEN_INVALID).
    """
    keys = _keys(orders, schema, dialect)
    if len(keys) != len(last):
        raise invalid("page_token", "was not made for this order", reason="PAGE_TOKEN_INVALID")
    after = FALSE
    for key, value in zip(reversed(keys), reversed(last), strict=True):
        strictly = _beyond(key, value, strict=True)
        after = (
            strictly
            if after is FALSE
            else join("AND", [_beyond(key, value, strict=False), join("OR", [strictly, after])])
        )
    return after.text, after.params


def position(item: Item, orders: Sequence[Order], schema: Schema) -> list[Any]:
    """Returns where an item stands in an order: values that JSON can carry, for a page token.

    Args:
        item: As for :meth:`sutler.filtering.Filter.predicate`.
        orders: As for :func:`order_sql`.
        schema: The fields.
    """
    values: list[Any] = []
    for order in orders:
        ref = _ref(order, schema)
        found = look_up(item, ref.path)
        if ref.type is not None:
            values.append(_plain(as_type(found, ref.type)))
            continue
        typed = [_plain(as_type(found, kind)) for kind in _OPEN_TYPES]
        rank = next((number for number, value in enumerate(typed, 1) if value is not None), 0)
        values.extend([rank, *typed])
    return values


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _ref(order: Order, schema: Schema) -> Ref:
    ref = schema.order_field(order.field)
    if ref is None:
        raise invalid(
            "order_by",
            f"there is no field {order.field!r} to order by",
            reason="ORDER_BY_INVALID",
            metadata={"field": order.field},
        )
    return ref


def _keys(orders: Sequence[Order], schema: Schema, dialect: Dialect) -> list[_Key]:
    compiler = SqlCompiler(dialect)
    keys: list[_Key] = []
    for order in orders:
        ref = _ref(order, schema)
        kinds = _OPEN_TYPES if ref.type is None else (ref.type,)
        if ref.type is None:
            keys.append(_Key(compiler.rank(ref), order.descending, required=True))
        required = ref.field.required and not ref.field.is_json
        keys += [_Key(compiler.collated(compiler.value(ref, kind), kind), order.descending, required) for kind in kinds]
    return keys


def _beyond(key: _Key, value: Any, *, strict: bool) -> Sql:
    """Returns whether a row's value comes after the position's, or, if not strict, is equal to it."""
    if value is None:
        if key.descending:
            return FALSE if strict else sql("{} IS NULL", key.value)
        return sql("{} IS NOT NULL", key.value) if strict else TRUE
    operator = ("<" if key.descending else ">") + ("" if strict else "=")
    beyond = sql(f"{{}} {operator} {{}}", key.value, param(value))
    if key.descending and not key.required:
        return join("OR", [beyond, sql("{} IS NULL", key.value)])
    return beyond
