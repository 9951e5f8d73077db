"""Lists that are made anew for each call: ordered in memory, as the store does it with what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cmp_to_key
from typing import Any, TypeVar

from sutler.errors import invalid
from sutler.filtering import Schema, position
from sutler.paging import Order, parse_order_by

from services.provider.ports import Listed

T = TypeVar("T")


def ordered(
    things: Iterable[T],
    item: Callable[[T], Mapping[str, Any]],
    schema: Schema,
    *,
    order_by: str = "",
    default: Sequence[Order],
    after: Sequence[Any] | None = None,
) -> list[Listed[T]]:
    """Returns things in order, after a position.

    Args:
        things: The things.
        item: Returns the fields of one, as the schema knows them.
        schema: The fields.
        order_by: The order.
        default: The order if none is given; all of its fields together tell things apart.
        after: The position after which to begin.

    Raises:
        Invalid: If the order or the position is wrong (ORDER_BY_INVALID, PAGE_TOKEN_INVALID).
    """
    orders = parse_order_by(order_by, schema.orderable, default)
    named = {order.field for order in orders}
    orders = (*orders, *(order for order in default if order.field not in named))
    found = [Listed(thing, position(item(thing), orders, schema)) for thing in things]
    if after is not None and len(after) != len(orders):
        raise invalid("page_token", "was not made for this order", reason="PAGE_TOKEN_INVALID")
    found.sort(key=cmp_to_key(lambda a, b: _compared(orders, a.position, b.position)))
    return [one for one in found if after is None or _compared(orders, one.position, after) > 0]


def _compared(orders: Sequence[Order], left: Sequence[Any], right: Sequence[Any]) -> int:
    """Returns which position comes first: absent values do, with ``desc`` last."""
    for order, one, other in zip(orders, left, right, strict=True):
        if one != other:
            less = one is None or (other is not None and one < other)
            return -1 if less is not order.descending else 1
    return 0
