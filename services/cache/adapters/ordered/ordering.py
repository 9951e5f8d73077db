"""The order of a list, where the store has none of its own: as the SQL stores make it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import total_ordering
from typing import Any

from sutler.errors import invalid
from sutler.filtering import position
from sutler.paging import Order

from services.cache.entries import Entry
from services.cache.listing import ENTRIES, entry_item


@total_ordering
class Place:
    """Where an entry stands in an order. Absent values come first, with ``desc`` last.

    Args:
        values: What :func:`sutler.filtering.position` gives.
        descending: For each value whether large ones come first.
    """

    __slots__ = ("descending", "values")

    def __init__(self, values: Sequence[Any], descending: Sequence[bool]) -> None:
        self.values = list(values)
        self.descending = descending

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.values == other.values

    def __lt__(self, other: Place) -> bool:
        for mine, others, descending in zip(self.values, other.values, self.descending, strict=True):
            if mine == others:
                continue
            if mine is None or others is None:
                return (mine is None) != descending
            return bool(mine > others) if descending else bool(mine < others)
        return False

    __hash__ = None  # type: ignore[assignment]


class Ordering:
    """Says where entries stand.

    Args:
        orders: By which fields; the last tells all entries apart.
    """

    def __init__(self, orders: Sequence[Order]) -> None:
        self._orders = orders
        empty = position({}, orders, ENTRIES)
        parts = [len(position({}, [order], ENTRIES)) for order in orders]
        self._descending = [order.descending for order, count in zip(orders, parts, strict=True) for _ in range(count)]
        self._length = len(empty)

    def of(self, entry: Entry) -> Place:
        """Returns where an entry stands."""
        return Place(position(entry_item(entry), self._orders, ENTRIES), self._descending)

    def after(self, last: Sequence[Any]) -> Place:
        """Returns where a page ended.

        Raises:
            Invalid: If it was a page of another order (PAGE_TOKEN_INVALID).
        """
        if len(last) != self._length:
            raise invalid("page_token", "was not made for this order", reason="PAGE_TOKEN_INVALID")
        return Place(last, self._descending)
