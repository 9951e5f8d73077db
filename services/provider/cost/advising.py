"""Recommendations as a list that can be filtered, ordered and paged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutler.filtering import Field, Kind, Schema, parse
from sutler.paging import Order

from services.provider.cost.advice import Advice, Market, Recommendation
from services.provider.cost.money import Money
from services.provider.cost.recommendations import recommend
from services.provider.cost.usage_list import sortable
from services.provider.ports import Book, Listed, Store
from services.provider.sorting import ordered

_AMOUNTS = ("hourly_price", "proposed_hourly_price", "monthly_saving")
_TEXTS = (
    *("summary", "provider", "template", "machine_type"),
    *("proposed_machine_type", "proposed_provider", "proposed_region"),
)
_FIELDS = {
    "kind": Field(Kind.ENUM, "kind", values={f"KIND_{advice.name}": int(advice) for advice in Advice}),
    **{field: Field(Kind.STRING, field) for field in _TEXTS},
    "machine_count": Field(Kind.INT, "machine_count"),
    **{field: Field(Kind.TIME, field) for field in ("observe_time", "price_time")},
}

FILTERED = Schema(
    {
        **_FIELDS,
        "machines": Field(Kind.STRING_LIST, "machines"),
        **{f"{path}.currency_code": Field(Kind.STRING, "currency_code") for path in _AMOUNTS},
        **{f"{path}.{part}": Field(Kind.INT, part) for path in _AMOUNTS for part in ("units", "nanos")},
    }
)
ORDERED = Schema({**_FIELDS, **{path: Field(Kind.STRING, path) for path in (*_AMOUNTS, "first_machine")}})
"""What can be ordered by; amounts as texts of one length, because they may not fit into 64 bits."""

BY_SAVING = (
    Order("monthly_saving", descending=True),
    *(Order(field) for field in ("kind", "provider", "template", "first_machine")),
)


@dataclass(frozen=True, slots=True)
class AdviceList:
    """What would cost less, made anew for each page; see :class:`services.provider.ports.Pages`.

    Attributes:
        store: What is stored.
        stopped_seconds: After how long a stopped machine is told.
    """

    store: Store
    stopped_seconds: float

    async def find(
        self, tenant: str, filter: str, order_by: str, after: Sequence[Any] | None, limit: int
    ) -> Sequence[Listed[Recommendation]]:
        """Returns recommendations that pass a filter, in order, after a position."""
        passes = parse(filter, FILTERED).predicate()
        found = await self.store.scan(lambda book: advise(book, tenant, self.stopped_seconds))
        fitting = [advice for advice in found if passes(_filtered(advice))]
        return ordered(fitting, _ordered, ORDERED, order_by=order_by, default=BY_SAVING, after=after)[:limit]


def advise(book: Book, tenant: str, stopped_seconds: float) -> list[Recommendation]:
    """Returns what would cost a tenant less."""
    providers = {provider.name: provider for provider in book.providers.all(tenant)}
    tariffs = {name: book.tariff(tenant, name) for name in providers}
    return list(recommend(book.machines.live(tenant), Market(providers, tariffs, book.now), stopped_seconds))


def _fields(advice: Recommendation) -> dict[str, Any]:
    return {
        "kind": int(advice.kind),
        "summary": advice.summary,
        "provider": advice.provider,
        "template": advice.template,
        "machine_type": advice.wanted.machine_type,
        "proposed_machine_type": advice.proposed_type,
        "proposed_provider": advice.proposed_provider,
        "proposed_region": advice.proposed_region,
        "machine_count": len(advice.machines),
        "observe_time": advice.observe_time,
        "price_time": advice.price_time,
    }


def _amounts(advice: Recommendation) -> Mapping[str, Money | None]:
    hourly = (None if price is None else price.hourly for price in (advice.price, advice.proposed))
    return dict(zip(_AMOUNTS, (*hourly, advice.monthly_saving), strict=True))


def _filtered(advice: Recommendation) -> Mapping[str, Any]:
    amounts = {
        path: {"currency_code": money.currency, "units": money.units, "nanos": money.nanos}
        for path, money in _amounts(advice).items()
        if money is not None
    }
    return {**_fields(advice), **amounts, "machines": list(advice.machines)}


def _ordered(advice: Recommendation) -> Mapping[str, Any]:
    amounts = {path: sortable(money) for path, money in _amounts(advice).items()}
    return {**_fields(advice), **amounts, "first_machine": advice.machines[0]}
