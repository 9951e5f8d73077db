"""What a machine costs for an hour, and has cost so far."""

from __future__ import annotations

from dataclasses import dataclass

from services.provider.cost.money import Money


@dataclass(frozen=True, slots=True)
class Bill:
    """What a machine costs.

    Attributes:
        hourly_price: For one hour, now or when it ended; None if unknown.
        cost: So far; None if the price of some of its time is unknown.
    """

    hourly_price: Money | None = None
    cost: Money | None = None


UNPRICED = Bill()
