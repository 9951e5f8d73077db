"""What spans cost, exactly: however time is cut, the parts add up to the whole."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.provider.cost.money import Money, money, summed
from services.provider.cost.prices import Price, PriceType
from services.provider.cost.spans import MICROS, Span, micros
from services.provider.cost.tariffs import Stretch, Tariff

HOUR = 3600 * MICROS


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a span over which its price does not change. Times are microseconds since 1970.

    Attributes:
        start: When it begins.
        end: When it ends.
        price: The price; None if none is known.
        cost: What it costs; None if no price is known.
        reference: What it would have cost ON_DEMAND; None if not both prices are known, in one currency.
    """

    start: int
    end: int
    price: Price | None
    cost: Money | None = None
    reference: Money | None = None


class _Meter:
    """Adds up what comes up of one price after the other, and gives it out in whole billionths.

    A billionth is given out when it is complete. What is given out up to a time does not depend on where the time
    before it was cut, so parts always add up to the whole.
    """

    def __init__(self) -> None:
        self._grown: dict[str, int] = {}

    def grow(self, price: Price | None, length: int) -> Money | None:
        """Returns what so many microseconds at a price add."""
        if price is None:
            return None
        currency = price.hourly.currency
        before = self._grown.get(currency, 0)
        after = self._grown[currency] = before + price.hourly.total * length
        return money(currency, after // HOUR - before // HOUR)


def charged(span: Span, tariff: Tariff, end: int, cuts: Sequence[int] = ()) -> Iterator[Piece]:
    """Yields the pieces of a span in order, from its start on.

    Args:
        span: A span; one in which its machine rested costs nothing and has no price.
        tariff: The prices of its provider.
        end: Until when, unless it ends earlier; microseconds since 1970.
        cuts: Times at which a piece ends in any case, in order.
    """
    last = end if span.end is None else min(span.end, end)
    own = tariff.stretches(span.wanted) if span.running else ()
    listed = tariff.stretches(replace(span.wanted, price_type=PriceType.ON_DEMAND)) if span.running else ()
    points = {micros(s.start) for s in (*own, *listed)} | {*cuts[bisect_right(cuts, span.start) :]}
    meter, reference = _Meter(), _Meter()
    start = span.start
    for point in (*sorted(p for p in points if span.start < p < last), last):
        if point <= start:
            continue
        price, on_demand = _at(own, start), _at(listed, start)
        comparable = price is not None and on_demand is not None and price.hourly.currency == on_demand.hourly.currency
        cost = meter.grow(price, point - start)
        would = reference.grow(on_demand if comparable else None, point - start)
        yield Piece(start, point, price, cost, would)
        start = point


def cost_so_far(spans: Iterable[Span], tariff: Tariff, now: int) -> Money | None:
    """Returns what a machine has cost until now; None if the price of some of its time is not known."""
    costs: list[Money] = []
    for span in spans:
        for piece in charged(span, tariff, now):
            if piece.cost is not None:
                costs.append(piece.cost)
            elif span.running:
                return None
    total = summed(costs)
    return total[0] if len(total) == 1 else None


def _at(stretches: Sequence[Stretch], time: int) -> Price | None:
    index = bisect_right(stretches, time, key=lambda s: micros(s.start))
    return stretches[index - 1].price if index else None
