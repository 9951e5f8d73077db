"""Amounts of money as messages."""

from __future__ import annotations

from google.type.money_pb2 import Money as MoneyMessage

from services.provider.cost.money import Money


def amount(money: Money | None) -> MoneyMessage | None:
    """Returns an amount as a message; None stays None."""
    if money is None:
        return None
    return MoneyMessage(currency_code=money.currency, units=money.units, nanos=money.nanos)


def from_amount(message: MoneyMessage) -> Money:
    """Returns the amount in a message."""
    return Money(message.currency_code, message.units, message.nanos)
