"""Amounts of money, in whole billionths of a unit of their currency: never a float."""

from __future__ import annotations

from dataclasses import dataclass

NANOS = 1_000_000_000
"""How many billionths a unit has."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of zero or more.

    Attributes:
        currency: The currency, such as ``EUR``.
        units: Whole units.
        nanos: Billionths of a unit beside them.
    """

    currency: str
    units: int
    nanos: int = 0

    @property
    def total(self) -> int:
        """All of it in billionths of a unit."""
        return self.units * NANOS + self.nanos

    def times(self, count: int) -> Money:
        """Returns the amount so many times."""
        return money(self.currency, self.total * count)

    def __str__(self) -> str:
        whole, part = divmod(self.total, NANOS)
        decimals = f"{part:09d}".rstrip("0")
        return f"{self.currency} {whole}" + (f".{decimals}" if decimals else "")


def money(currency: str, total: int) -> Money:
    """Returns an amount of so many billionths of a unit."""
    units, nanos = divmod(total, NANOS)
    return Money(currency, units, nanos)


def summed(amounts: list[Money]) -> list[Money]:
    """Returns the sum of amounts for each currency, by currency."""
    totals: dict[str, int] = {}
    for amount in amounts:
        totals[amount.currency] = totals.get(amount.currency, 0) + amount.total
    return [money(currency, totals[currency]) for currency in sorted(totals)]
