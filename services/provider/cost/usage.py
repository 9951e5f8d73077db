"""Sums up machines and what they cost over a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from services.provider.cost.charging import Piece, charged
from services.provider.cost.money import Money, money
from services.provider.cost.spans import Span
from services.provider.cost.tariffs import Tariff


class Dimension(IntEnum):
    """What usage can be told apart by; the numbers of the contract."""

    TENANT = 1
    PROVIDER = 2
    TEMPLATE = 3
    REGION = 4
    ZONE = 5
    MACHINE_TYPE = 6
    PRICE_TYPE = 7
    CREATOR = 8
    OWNER = 9

    @property
    def field(self) -> str:
        """The field of rows and spans that holds it."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Machines and cost of one combination of dimensions in one part of the time. Times are microseconds since 1970.

    Attributes:
        start: The start of the part.
        end: The end of the part.
        values: Each dimension that was asked for.
        currency: The currency of the cost; empty if no price is known.
        machine_count: How many machines lived at the end.
        peak_machine_count: How many lived at once at most.
        started_machine_count: How many began to live.
        duration: How long they ran, in microseconds.
        unpriced_duration: How much of that has no known price.
        cost: What they cost; None if no price is known.
        reference_cost: What they would have cost ON_DEMAND; None if not known.
        price_time: The date of the oldest price that was used, in seconds since 1970.
    """

    start: int
    end: int
    values: Mapping[Dimension, str]
    currency: str
    machine_count: int
    peak_machine_count: int
    started_machine_count: int
    duration: int
    unpriced_duration: int
    cost: Money | None
    reference_cost: Money | None
    price_time: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """The time to sum up. Times are microseconds since 1970.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        now: What has been by now is counted.
        interval: Microseconds of each part; the whole if 0.
    """

    start: int
    end: int
    now: int
    interval: int = 0

    @property
    def cuts(self) -> list[int]:
        """Where parts begin, and where the last one ends."""
        if not self.interval:
            return [self.start, self.end]
        return [*range(self.start, self.end, self.interval), self.end]


_Key = tuple[int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Part:
    span: Span
    piece: Piece


def sum_up(
    spans: Iterable[Span], tariff_of: Callable[[Span], Tariff], window: Window, dimensions: Iterable[Dimension]
) -> list[Usage]:
    """Returns the rows of usage, by time, dimensions and currency.

    Args:
        spans: The spans of the machines that count; others than those in the window add nothing.
        tariff_of: Returns the prices that hold for a span.
        window: The time to sum up.
        dimensions: What to tell apart.
    """
    asked, cuts = tuple(dimensions), window.cuts
    last = min(window.end, window.now)
    found: dict[_Key, list[_Part]] = {}
    for span in spans:
        values = tuple(_value(span, dimension) for dimension in asked)
        for piece in charged(span, tariff_of(span), last, cuts):
            if piece.start >= window.start:
                index = bisect_right(cuts, piece.start) - 1
                found.setdefault((index, values), []).append(_Part(span, piece))
    rows = []
    for (index, values), parts in sorted(found.items(), key=lambda item: item[0]):
        for currency, own in sorted(_by_currency(parts).items()):
            named = dict(zip(asked, values, strict=True))
            rows.append(_row(own, currency, named, cuts[index], cuts[index + 1], last))
    return rows


def _value(span: Span, dimension: Dimension) -> str:
    value = getattr(span, dimension.field)
    return value.name if dimension is Dimension.PRICE_TYPE else str(value)


def _by_currency(parts: list[_Part]) -> dict[str, list[_Part]]:
    """Returns the parts by their currency; what has no price stands with the first currency that there is."""
    found: dict[str, list[_Part]] = {}
    for part in parts:
        found.setdefault("" if part.piece.cost is None else part.piece.cost.currency, []).append(part)
    priced = sorted(currency for currency in found if currency)
    if "" in found and priced:
        found[priced[0]] += found.pop("")
    return found


def _row(parts: list[_Part], currency: str, values: Mapping[Dimension, str], start: int, end: int, last: int) -> Usage:
    until = min(end, last)
    priced = [part.piece for part in parts if part.piece.cost is not None]
    costs = [piece.cost.total for piece in priced if piece.cost is not None]
    references = [piece.reference.total for piece in priced if piece.reference is not None]
    return Usage(
        start=start,
        end=end,
        values=values,
        currency=currency,
        machine_count=sum(part.piece.end == until for part in parts),
        peak_machine_count=_peak(parts),
        started_machine_count=sum(p.span.number == 1 and p.piece.start == p.span.start for p in parts),
        duration=sum(p.piece.end - p.piece.start for p in parts if p.span.running),
        unpriced_duration=sum(p.piece.end - p.piece.start for p in parts if p.span.running and p.piece.cost is None),
        cost=money(currency, sum(costs)) if priced else None,
        reference_cost=money(currency, sum(references)) if references else None,
        price_time=min((piece.price.date for piece in priced if piece.price is not None), default=None),
    )


def _peak(parts: list[_Part]) -> int:
    """Returns how many lived at once at most; who ends when another begins is not there with it."""
    changes = sorted(change for part in parts for change in ((part.piece.start, 1), (part.piece.end, -1)))
    peak = alive = 0
    for _, change in changes:
        alive += change
        peak = max(peak, alive)
    return peak
