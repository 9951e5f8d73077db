"""Pages of lists that are held in memory: drivers, models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sutler.filtering import Filter, Schema, position
from sutler.paging import Order

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One page.

    Attributes:
        items: The items in order.
        next: Where the next page begins; None at the end.
    """

    items: Sequence[T]
    next: Sequence[Any] | None


def page_of(
    items: Sequence[T],
    plain: Callable[[T], dict[str, Any]],
    schema: Schema,
    filter: Filter,
    orders: Sequence[Order],
    after: Sequence[Any] | None,
    limit: int,
) -> Listing[T]:
    """Returns a page of a list.

    Args:
        items: All items.
        plain: Returns an item's fields for the filter.
        schema: The fields.
        filter: Which items.
        orders: In which order; absent values come first.
        after: Where the page begins.
        limit: How many at the most.
    """
    passes = filter.predicate()
    keyed = [(position(plain(item), orders, schema), item) for item in items if passes(plain(item))]
    for index in reversed(range(len(orders))):
        keyed.sort(key=lambda one, i=index: _rank(one[0][i]), reverse=orders[index].descending)  # type: ignore[misc]
    start = 0
    if after is not None:
        start = next((i for i, (key, _) in enumerate(keyed) if _beyond(key, after, orders)), len(keyed))
    page = keyed[start : start + limit]
    more = len(keyed) > start + limit
    return Listing([item for _, item in page], page[-1][0] if more and page else None)


def _rank(value: Any) -> tuple[bool, Any]:
    return value is not None, value if value is not None else 0


def _beyond(key: Sequence[Any], after: Sequence[Any], orders: Sequence[Order]) -> bool:
    for mine, other, order in zip(key, after, orders, strict=True):
        if mine != other:
            return (_rank(mine) < _rank(other)) if order.descending else (_rank(mine) > _rank(other))
    return False
