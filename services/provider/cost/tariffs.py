"""Finds the price that held for a machine at a time, and how it went on from there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.provider.cost.prices import Edition, Price, PriceRow, PriceType, Wanted


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time over which one price holds.

    Attributes:
        start: When it begins, seconds since 1970; it lasts until the next one begins.
        price: The price; None if there is none.
    """

    start: float
    price: Price | None


class Tariff:
    """All that was ever known of the prices of one provider.

    A time keeps the first price that was known for it: that of the tables in force then or, where those had none, the
    first that a later edition gives, dated back. So cost that has come up never changes, and time without a price can
    still get one.

    Args:
        editions: The editions of the provider's tables.
    """

    def __init__(self, editions: Iterable[Edition]) -> None:
        self._editions = sorted(editions, key=lambda e: e.start)
        self._by_type: dict[str, list[tuple[Edition, list[PriceRow]]]] = {}
        for one in self._editions:
            rows: dict[str, list[PriceRow]] = {}
            for row in one.rows:
                rows.setdefault(row.machine_type, []).append(row)
            for machine_type, found in rows.items():
                self._by_type.setdefault(machine_type, []).append((one, found))
        self._starts = sorted({one.start for one in self._editions})
        self._stretches: dict[Wanted, Sequence[Stretch]] = {}

    def price(self, wanted: Wanted, time: float) -> Price | None:
        """Returns what one machine cost for an hour at a time; None if no price is known."""
        found = None
        for stretch in self.stretches(wanted):
            if stretch.start > time:
                break
            found = stretch.price
        return found

    def rows(self, time: float) -> list[PriceRow]:
        """Returns the rows that are in force at a time, the latest of each kind."""
        latest: dict[tuple[str, str, str, PriceType | None], tuple[float, PriceRow]] = {}
        for one in self._editions:
            if not one.holds(time):
                continue
            for row in one.rows:
                key, date = (row.machine_type, row.region, row.zone, row.price_type), one.date(row)
                if date <= time and (key not in latest or latest[key][0] <= date):
                    latest[key] = (date, row)
        return [row for _, row in latest.values()]

    def stretches(self, wanted: Wanted) -> Sequence[Stretch]:
        """Returns how the price went, from the first that is known on; before that there is none."""
        known = self._stretches.get(wanted)
        if known is None:
            known = self._stretches[wanted] = self._followed(wanted)
        return known

    def _followed(self, wanted: Wanted) -> Sequence[Stretch]:
        found = [(one, [row for row in rows if fits(row, wanted)]) for one, rows in self._by_type.get(
            wanted.machine_type, ())]  # fmt: skip
        fitting = [(one, rows) for one, rows in found if rows]
        times = {one.start for one, _ in fitting} | {one.end for one, _ in fitting if one.end is not None}
        times |= {one.date(row) for one, rows in fitting for row in rows}
        stretches: list[Stretch] = []
        for time in sorted(times):
            price = self._first_known(fitting, time)
            if not stretches or stretches[-1].price != price:
                stretches.append(Stretch(time, price))
        return stretches

    def _first_known(self, fitting: Sequence[tuple[Edition, list[PriceRow]]], time: float) -> Price | None:
        for known_at in (time, *(start for start in self._starts if start > time)):
            best: tuple[int, float, tuple[bool, ...], PriceRow] | None = None
            for one, rows in fitting:
                if not one.holds(known_at):
                    continue
                for row in rows:
                    date = one.date(row)
                    if date > time:
                        continue
                    rank = (_narrowness(row), date, _set(row))
                    if best is None or rank > best[:3]:
                        best = (*rank, row)
            if best is not None:
                return Price(best[3].hourly_price, best[1])
        return None


def fits(row: PriceRow, wanted: Wanted) -> bool:
    """Returns whether a row is about such a machine."""
    return (
        row.machine_type == wanted.machine_type
        and row.region in ("", wanted.region)
        and row.zone in ("", wanted.zone)
        and row.price_type in (None, wanted.price_type)
    )


def _set(row: PriceRow) -> tuple[bool, ...]:
    return bool(row.zone), bool(row.region), row.price_type is not None


def _narrowness(row: PriceRow) -> int:
    return sum(_set(row))
