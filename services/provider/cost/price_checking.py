"""Checks price tables: rows that contradict each other, or cannot be used, are refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from sutler.errors import Invalid, Violation, invalid

from services.provider.cost.prices import PriceRow, PriceTable, PriceType, Source
from services.provider.ports import Book

MAX_HOURLY_UNITS = 1_000_000_000
"""No price is above this many units of its currency, so that no sum leaves the range of the contract."""

_WHERE = "price_table"
_Set = tuple[str, ...]
_FIELDS = ("zone", "region", "price_type")


@dataclass(frozen=True, slots=True)
class _Placed:
    """A row with where it stands.

    Attributes:
        field: Its path in the request; the name of its table if it is another.
        row: The row.
        date: From when on it holds; None for "when the table is written".
    """

    field: str
    row: PriceRow
    date: float | None

    @property
    def set(self) -> _Set:
        """Which of its fields narrow it down."""
        return tuple(name for name in _FIELDS if getattr(self.row, name))

    def values(self, names: Sequence[str]) -> tuple[object, ...]:
        """Returns the values of fields."""
        return tuple(getattr(self.row, name) for name in names)


def checked_prices(book: Book, table: PriceTable) -> PriceTable:
    """Returns a price table that has been checked, by itself and with the other tables of its provider.

    Raises:
        Invalid: If its provider does not exist, or rows contradict each other or cannot be used (PRICES_INVALID).
    """
    if not table.provider:
        raise invalid(f"{_WHERE}.provider", "is needed: whose machines it prices", reason="REQUIRED")
    if book.providers.get(table.tenant, table.provider) is None:
        raise _refused([Violation(f"{_WHERE}.provider", f"{table.provider} does not exist", "NOT_FOUND")], "provider")
    if table.source not in (None, Source.ROWS):
        text = f"prices from {Source(table.source).name} are not offered by this release; write them as rows"
        raise _refused([Violation(f"{_WHERE}.source", text, "CAPABILITY_MISSING")], "source")
    others = [t for t in book.price_tables.of_provider(table.tenant, table.provider) if t.name != table.name]
    _refuse(list(_unusable(table)), "unusable")
    _refuse(list(_currencies(table, others)), "currency")
    placed = _placed(table, "")
    _refuse(list(_duplicates([*(p for other in others for p in _placed(other, other.name)), *placed])), "duplicate")
    _refuse(list(_overlaps(placed)), "overlap")
    return table


def _placed(table: PriceTable, name: str) -> list[_Placed]:
    return [
        _Placed(
            name or f"{_WHERE}.rows[{index}]",
            row,
            table.effective_time if row.effective_time is None else row.effective_time,
        )
        for index, row in enumerate(table.rows)
    ]


def _unusable(table: PriceTable) -> Iterator[Violation]:
    for index, row in enumerate(table.rows):
        field = f"{_WHERE}.rows[{index}]"
        if not row.machine_type:
            yield Violation(f"{field}.machine_type", "is needed: what is priced", "REQUIRED")
        if row.price_type is PriceType.MIXED:
            yield Violation(f"{field}.price_type", "a machine is either ON_DEMAND or SPOT, never MIXED", "NOT_ALLOWED")
        if row.hourly_price.units >= MAX_HOURLY_UNITS:
            yield Violation(f"{field}.hourly_price", f"must be below {MAX_HOURLY_UNITS} an hour", "TOO_LARGE")


def _currencies(table: PriceTable, others: Sequence[PriceTable]) -> Iterator[Violation]:
    """Yields the rows in another currency than the first of the provider: such prices could not be compared."""
    elsewhere = next((row for other in others for row in other.rows), None)
    first = elsewhere or next(iter(table.rows), None)
    for index, row in enumerate(table.rows):
        assert first is not None
        expected, found = first.hourly_price.currency, row.hourly_price.currency
        if found != expected:
            text = f"is in {found}, but other prices of {table.provider} are in {expected}; use one currency"
            yield Violation(f"{_WHERE}.rows[{index}].hourly_price.currency_code", text, "CURRENCY_MIXED")


def _duplicates(placed: Sequence[_Placed]) -> Iterator[Violation]:
    first: dict[tuple[object, ...], _Placed] = {}
    for one in placed:
        key = (one.row.machine_type, one.date, *one.values(_FIELDS))
        known = first.setdefault(key, one)
        if known is not one:
            yield Violation(one.field, f"prices the same as {known.field} from the same date on", "DUPLICATE")


def _overlaps(placed: Sequence[_Placed]) -> Iterator[Violation]:
    """Yields rows that fit the same machines as others, equally narrow and of one date: neither would go first."""
    groups: dict[tuple[str, float | None], dict[_Set, list[_Placed]]] = {}
    for one in placed:
        groups.setdefault((one.row.machine_type, one.date), {}).setdefault(one.set, []).append(one)
    for patterns in groups.values():
        for left, right in combinations(sorted(patterns), 2):
            if len(left) == len(right):
                yield from _overlapping(patterns, left, right)


def _overlapping(patterns: dict[_Set, list[_Placed]], left: _Set, right: _Set) -> Iterator[Violation]:
    shared = tuple(name for name in _FIELDS if name in left and name in right)
    both = tuple(name for name in _FIELDS if name in left or name in right)
    decided = {one.values(both) for one in patterns.get(both, ())}
    by_shared: dict[tuple[object, ...], list[_Placed]] = {}
    for one in patterns[left]:
        by_shared.setdefault(one.values(shared), []).append(one)
    for other in patterns[right]:
        for one in by_shared.get(other.values(shared), ()):
            if tuple(getattr((one if name in left else other).row, name) for name in both) not in decided:
                text = f"and {one.field} fit the same machines, equally narrow; add a row with {', '.join(both)}"
                yield Violation(other.field, text, "OVERLAP")
                return


def _refuse(violations: list[Violation], cause: str) -> None:
    if violations:
        raise _refused(violations, cause)


def _refused(violations: Sequence[Violation], cause: str) -> Invalid:
    first = violations[0]
    return Invalid(
        f"{first.field}: {first.description}",
        reason="PRICES_INVALID",
        metadata={"field": first.field, "cause": cause},
        violations=violations[:1000],
        more=len(violations) - 1,
    )
