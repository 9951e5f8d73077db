"""Orders of customers: whose they are, which come back, and what they are worth."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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


def summary(customer_id: int, display_name: str, orders: Sequence[Order], limit: int) -> dict[str, Any]:
    """Returns the orders of one customer as JSON data with the names of the contract's CustomerOrders.

    Args:
        customer_id: The customer.
        display_name: Its name.
        orders: All its orders, newest first.
        limit: How many to return; the totals count all.
    """
    total, drafts, cancelled = Sums(), Sums(), Sums()
    of_state = {OrderState.DRAFT: drafts, OrderState.CANCELLED: cancelled}
    for order in orders:
        of_state.get(order.state, total).add(order)
    return {
        "customer_id": customer_id,
        "display_name": display_name,
        "orders": [order.plain() for order in orders[:limit]],
        "truncated": len(orders) > limit,
        "total_orders": total.count,
        "total_amounts": total.plain(),
        "draft_orders": drafts.count,
        "draft_amounts": drafts.plain(),
        "cancelled_orders": cancelled.count,
    }


def by_customer(
    customers: Iterable[int], orders: Sequence[Order], parents: Mapping[int, int | None]
) -> dict[int, list[Order]]:
    """Returns the orders of each customer, those of its contacts and of their contacts too, in the given order.

    Args:
        customers: Whose orders are wanted.
        orders: The orders.
        parents: To whom each contact belongs.
    """
    found: dict[int, list[Order]] = {one: [] for one in customers}
    for order in orders:
        above: set[int] = set()
        one: int | None = order.customer_id
        while one is not None and one not in above:
            above.add(one)
            if one in found:
                found[one].append(order)
            one = parents.get(one)
    return found


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
