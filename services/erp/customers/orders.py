"""Orders of customers: whose they are, which come back, and what they are worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from services.erp.customers.view import OrderState

NANOS = 1_000_000_000

Money = dict[str, Any]
"""An amount with the names of google.type.Money."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order. The attributes are those of the contract, but for the amounts; ``order_time`` in epoch seconds."""

    id: int
    display_name: str
    customer_id: int
    state: OrderState
    erp_state: str
    order_time: float | None
    total: Decimal
    untaxed: Decimal | None
    currency: str
    update_time: float | None

    def plain(self) -> dict[str, Any]:
        """Returns the order as JSON data with the contract's names."""
        untaxed = None if self.untaxed is None else money(self.currency, self.untaxed)
        return {
            "id": self.id,
            "display_name": self.display_name,
            "customer_id": self.customer_id,
            "state": str(self.state),
            "erp_state": self.erp_state,
            "order_time": self.order_time,
            "total_amount": money(self.currency, self.total),
            "untaxed_amount": untaxed,
            "update_time": self.update_time,
        }


@dataclass(slots=True)
class Sums:
    """How many orders there are, and what they are worth in each currency."""

    count: int = 0
    amounts: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))

    def add(self, order: Order) -> None:
        """Counts an order."""
        self.count += 1
        self.amounts[order.currency] += order.total

    def plain(self) -> list[Money]:
        """Returns the amounts by currency."""
        return [money(currency, self.amounts[currency]) for currency in sorted(self.amounts)]


class Summary:
    """The orders of one customer, as they come in.

    Args:
        limit: How many of the newest to keep; the totals count all.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._newest: list[Order] = []
        self._total, self._drafts, self._cancelled = Sums(), Sums(), Sums()
        self._sums = {OrderState.DRAFT: self._drafts, OrderState.CANCELLED: self._cancelled}

    def add(self, orders: Iterable[Order]) -> None:
        """Counts orders, in any order of theirs."""
        for order in orders:
            self._sums.get(order.state, self._total).add(order)
            self._newest.append(order)
        self._newest.sort(key=_age)
        del self._newest[self._limit :]

    def plain(self, customer_id: int, display_name: str) -> dict[str, Any]:
        """Returns them as JSON data with the names of the contract's CustomerOrders, newest first."""
        count = self._total.count + self._drafts.count + self._cancelled.count
        return {
            "customer_id": customer_id,
            "display_name": display_name,
            "orders": [order.plain() for order in self._newest],
            "truncated": count > self._limit,
            "total_orders": self._total.count,
            "total_amounts": self._total.plain(),
            "draft_orders": self._drafts.count,
            "draft_amounts": self._drafts.plain(),
            "cancelled_orders": self._cancelled.count,
        }


def owners(order: Order, customers: Container[int], parents: Mapping[int, int | None]) -> list[int]:
    """Returns the customers whose order it is: its own, and those to whom that one belongs.

    Args:
        order: The order.
        customers: Whose orders are wanted.
        parents: To whom each contact belongs.
    """
    above: list[int] = []
    one: int | None = order.customer_id
    while one is not None and one not in above:
        above.append(one)
        one = parents.get(one)
    return [one for one in above if one in customers]


def _age(order: Order) -> tuple[bool, float, int]:
    """Returns where an order stands among the newest: by time, then by id; those without a time come last."""
    return order.order_time is None, -(order.order_time or 0.0), -order.id


def money(currency: str, amount: Decimal) -> Money:
    """Returns an amount; what is less than a billionth of a unit is rounded off."""
    nanos = int((amount * NANOS).to_integral_value())
    sign = -1 if nanos < 0 else 1
    units, rest = divmod(abs(nanos), NANOS)
    return {"currency_code": currency, "units": sign * units, "nanos": sign * rest}


def moment(value: Any) -> float | None:
    """Returns a date or a time as the gateway writes them in epoch seconds; a date begins at midnight UTC."""
    if not value:
        return None
    text = str(value)
    return datetime.fromisoformat(text if "T" in text else f"{text}T00:00:00Z").timestamp()


def decimal(value: Any) -> Decimal:
    """Returns an amount, which is absent or a text or a number."""
    return Decimal(str(value)) if value not in (None, "", False) else Decimal(0)
