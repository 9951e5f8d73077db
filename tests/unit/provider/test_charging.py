"""What comes up over time: exactly, and the parts add up to the whole."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.errors import Invalid

from services.provider.cost.charging import HOUR, charged, cost_so_far
from services.provider.cost.counting import check_size
from services.provider.cost.money import Money, money
from services.provider.cost.prices import Edition, PriceRow, PriceType
from services.provider.cost.spans import MICROS, Span
from services.provider.cost.tariffs import Tariff
from services.provider.cost.usage import Dimension, Window, sum_up

END = 10_000
times = st.integers(0, END * MICROS)
prices = st.integers(0, 10**15).map(lambda total: money("EUR", total))
rows = st.builds(
    PriceRow,
    machine_type=st.just("m"),
    hourly_price=prices,
    price_type=st.sampled_from([None, PriceType.ON_DEMAND, PriceType.SPOT]),
    effective_time=st.integers(0, END).map(float),
)
editions = st.builds(
    lambda start, length, rows: Edition(
        table="t", start=float(start), end=float(start + length) if length else None, rows=tuple(rows), default_time=0.0
    ),
    st.integers(0, END),
    st.integers(0, END),
    st.lists(rows, min_size=1, max_size=3),
)
tariffs = st.lists(editions, max_size=4).map(Tariff)


@st.composite
def spans(draw: st.DrawFn) -> Span:
    start = draw(times)
    end = draw(st.none() | st.integers(start, END * MICROS))
    return Span(
        tenant=draw(st.sampled_from(["a", "b"])),
        machine=f"machines/{draw(st.integers(0, 3))}",
        running=draw(st.booleans()),
        start=start,
        end=end,
        provider=draw(st.sampled_from(["providers/x", "providers/y"])),
        machine_type="m",
    )


@given(spans(), tariffs, st.lists(times, max_size=6))
def test_however_a_span_is_cut_its_pieces_cost_the_same(span: Span, tariff: Tariff, cuts: list[int]) -> None:
    end = END * MICROS
    whole = list(charged(span, tariff, end))
    cut = list(charged(span, tariff, end, sorted(cuts)))
    for found in (whole, cut):
        assert all(left.end == right.start for left, right in pairwise(found))
        assert sum(p.end - p.start for p in found) == max(0, (end if span.end is None else span.end) - span.start)
    assert sum(p.cost.total for p in whole if p.cost) == sum(p.cost.total for p in cut if p.cost)
    assert sum(p.reference.total for p in whole if p.reference) == sum(p.reference.total for p in cut if p.reference)


@given(spans(), tariffs)
def test_no_billionth_is_lost_but_the_one_that_is_not_complete(span: Span, tariff: Tariff) -> None:
    pieces = list(charged(span, tariff, END * MICROS))
    exact = sum(Fraction(p.price.hourly.total * (p.end - p.start), HOUR) for p in pieces if p.price)
    told = sum(p.cost.total for p in pieces if p.cost)
    assert 0 <= exact - told < 1


@given(
    st.lists(spans(), max_size=8),
    tariffs,
    st.integers(0, END - 1),
    st.integers(1, END),
    st.integers(0, 3000),
    st.sets(st.sampled_from([Dimension.TENANT, Dimension.PROVIDER, Dimension.PRICE_TYPE])),
)
def test_rows_add_up_whatever_is_told_apart(
    found: list[Span], tariff: Tariff, start: int, length: int, interval: int, asked: set[Dimension]
) -> None:
    end = (start + length) * MICROS
    whole = sum_up(found, lambda s: tariff, Window(start * MICROS, end, END * MICROS), ())
    parts = sum_up(found, lambda s: tariff, Window(start * MICROS, end, END * MICROS, interval * MICROS), asked)
    for field in ("duration", "unpriced_duration", "started_machine_count"):
        assert sum(getattr(row, field) for row in whole) == sum(getattr(row, field) for row in parts)
    for field in ("cost", "reference_cost"):
        amounts = [[getattr(row, field) for row in rows if getattr(row, field)] for rows in (whole, parts)]
        assert sum(a.total for a in amounts[0]) == sum(a.total for a in amounts[1])
    assert all(row.machine_count <= row.peak_machine_count for row in parts)


def span(start: float, end: float | None = None, **more: Any) -> Span:
    until = None if end is None else int(end * MICROS)
    known = {"tenant": "t", "machine": "machines/m", "machine_type": "m", **more}
    return Span(start=int(start * MICROS), end=until, **known)


def table(price: Money, start: float = 0.0) -> Edition:
    row = PriceRow(machine_type="m", hourly_price=price)
    return Edition(table="t", start=start, rows=(row,), default_time=start)


def test_an_hour_and_a_second_cost_what_they_say() -> None:
    tariff = Tariff([table(Money("EUR", 0, 36_000_000))])
    assert cost_so_far([span(100, 3701)], tariff, 10_000 * MICROS) == Money("EUR", 0, 36_010_000)


def test_time_without_a_price_is_unknown_and_not_free() -> None:
    tariff = Tariff([table(Money("EUR", 1), start=200.0)])
    assert cost_so_far([span(100, 300)], tariff, 1000 * MICROS) is None
    (row,) = sum_up([span(100, 300)], lambda s: tariff, Window(0, 1000 * MICROS, 1000 * MICROS), ())
    assert row.unpriced_duration == 100 * MICROS
    assert row.cost == money("EUR", 100 * MICROS * 10**9 // HOUR)
    (row,) = sum_up([span(100, 300)], lambda s: Tariff([]), Window(0, 1000 * MICROS, 1000 * MICROS), ())
    assert row.cost is None


def test_a_machine_that_rests_lives_and_costs_nothing() -> None:
    found = [span(0, 10), span(10, 20, number=2, running=False), span(20, number=3)]
    tariff = Tariff([table(Money("EUR", 3600))])
    (row,) = sum_up(found, lambda s: tariff, Window(0, 100 * MICROS, 30 * MICROS), ())
    assert (row.duration, row.unpriced_duration) == (20 * MICROS, 0)
    assert (row.machine_count, row.peak_machine_count, row.started_machine_count) == (1, 1, 1)
    assert row.cost == Money("EUR", 20)


def test_too_many_pieces_are_refused() -> None:
    found = [span(0, 100 * 3600, machine=f"machines/{number}") for number in range(200)]
    window = Window(0, 100 * HOUR, 100 * HOUR, 60 * MICROS)
    check_size(found[:150], window)
    with pytest.raises(Invalid):
        check_size(found, window)


def test_each_currency_has_its_own_row() -> None:
    tariffs = {"providers/x": Tariff([table(Money("EUR", 1))]), "providers/y": Tariff([table(Money("USD", 1))])}
    found = [span(0, 3600, provider=name, machine=name) for name in tariffs]
    rows = sum_up(found, lambda s: tariffs[s.provider], Window(0, 3600 * MICROS, 3600 * MICROS), ())
    assert [(row.currency, row.cost) for row in rows] == [("EUR", Money("EUR", 1)), ("USD", Money("USD", 1))]


@pytest.mark.parametrize(("total", "text"), [(50_000_000, "EUR 0.05"), (3 * 10**9, "EUR 3"), (1, "EUR 0.000000001")])
def test_money_reads_as_it_is(total: int, text: str) -> None:
    assert str(money("EUR", total)) == text
