"""What machines that are asked for will cost, and whether that is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sutler.errors import FailedPrecondition

from services.provider.cost.money import Money
from services.provider.cost.prices import PriceType, Wanted
from services.provider.ports import Book
from services.provider.requests import Candidate
from services.provider.templates import Template


def hourly_price(book: Book, tenant: str, provider: str, machine_type: str, region: str) -> Money | None:
    """Returns what one machine will cost for an hour from now on, ON_DEMAND; its zone is not known yet."""
    wanted = Wanted(machine_type, region, "", PriceType.ON_DEMAND)
    found = book.tariff(tenant, provider).price(wanted, book.now)
    return None if found is None else found.hourly


def priced(book: Book, tenant: str, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Returns candidates with what a machine of each would cost; machines are of the type of their provider."""
    found = []
    for one in candidates:
        provider = book.providers.get(tenant, one.provider)
        if provider is not None:
            price = hourly_price(book, tenant, provider.name, provider.type, one.region)
            found.append(replace(one, hourly_price=price))
    return tuple(found)


def check_price(template: Template, machine_type: str, price: Money | None, count: int) -> None:
    """Checks a price against what a template allows.

    Raises:
        FailedPrecondition: If it is too high (PRICE_TOO_HIGH), or cannot be known to be low enough (PRICE_UNKNOWN).
    """
    for limit, expected, what in (
        (template.max_price, price, "one machine"),
        (template.max_total_price, price and price.times(count), f"{count} machines"),
    ):
        if limit is None:
            continue
        if expected is None or expected.currency != limit.currency:
            known = "has no known price" if expected is None else f"is priced in {expected.currency}"
            raise FailedPrecondition(
                f"{template.name} allows {limit} an hour for {what}, but {machine_type} {known}; add a price table",
                reason="PRICE_UNKNOWN",
                metadata={"machine_type": machine_type, "max_price": str(limit)},
                resource=template.name,
            )
        if expected.total > limit.total:
            raise FailedPrecondition(
                f"{what} of {machine_type} cost {expected} an hour; {template.name} allows {limit}",
                reason="PRICE_TOO_HIGH",
                metadata={"max_price": str(limit), "hourly_price": str(expected)},
                resource=template.name,
            )
