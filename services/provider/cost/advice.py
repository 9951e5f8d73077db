"""What a recommendation is, and what it is made from: machines that are alike, and what could be had instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from services.provider.cost.money import Money, money
from services.provider.cost.prices import Price, Wanted
from services.provider.cost.tariffs import Tariff
from services.provider.providers import Provider

MONTH_HOURS = 30 * 24


class Advice(IntEnum):
    """What is recommended; the numbers of the contract."""

    CHEAPER_TYPE = 1
    SPOT_PRICE = 2
    CHEAPER_PLACE = 3
    STOPPED_MACHINE = 5
    STALE_PRICES = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Something that would cost less. Times are seconds since 1970, None where not set.

    Attributes:
        kind: What is recommended.
        summary: What to do and why, for people.
        provider: The provider that it is about.
        template: The template that it is about.
        machines: The machines that it is about, by name.
        wanted: What they are.
        proposed_type: The machine type that is recommended.
        proposed_provider: The provider that is recommended.
        proposed_region: The region that is recommended.
        price: The price of one for one hour as it is.
        proposed: That price as recommended.
        observe_time: Since when what it rests on was observed.
    """

    kind: Advice
    summary: str
    provider: str
    template: str
    machines: tuple[str, ...]
    wanted: Wanted
    proposed_type: str = ""
    proposed_provider: str = ""
    proposed_region: str = ""
    price: Price | None = None
    proposed: Price | None = None
    observe_time: float | None = None

    @property
    def monthly_saving(self) -> Money | None:
        """What all of the machines would save in 30 days; None if it is not known."""
        if self.price is None or self.proposed is None:
            return None
        saved = self.price.hourly.total - self.proposed.hourly.total
        return money(self.price.hourly.currency, saved * MONTH_HOURS * len(self.machines))

    @property
    def price_time(self) -> float | None:
        """The date of the oldest price that was used."""
        return min((price.date for price in (self.price, self.proposed) if price is not None), default=None)


@dataclass(frozen=True, slots=True)
class Group:
    """Machines that are alike.

    Attributes:
        provider: Their provider.
        template: Their template.
        wanted: What they are.
        machines: Their names, in order.
    """

    provider: Provider
    template: str
    wanted: Wanted
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Market:
    """What machines can be had, at what prices.

    Attributes:
        providers: The providers, by name.
        tariffs: Their prices, by name.
        now: Seconds since 1970.
    """

    providers: Mapping[str, Provider]
    tariffs: Mapping[str, Tariff]
    now: float

    def price(self, provider: str, wanted: Wanted) -> Price | None:
        """Returns what a machine costs now; None if unknown."""
        return self.tariffs[provider].price(wanted, self.now)
