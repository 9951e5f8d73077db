"""Groups of Odoo: what older versions tell, how smaller ones are joined, and where parts of dates begin."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.errors import Unimplemented
from sutler.paging import Order

from services.erp.adapters.odoo.grouping import READ_GROUP, Question
from services.erp.adapters.odoo.joining import Part, join, ordered
from services.erp.adapters.odoo.periods import first_day, in_utc, next_day
from services.erp.aggregates import DatePart, Group

MONTH = "date_order:month"
TOTAL = ("sum", "amount_total")
RANGE = ["&", ["date_order", ">=", "2026-10-01 00:00:00"], ["date_order", "<", "2026-11-01 00:00:00"]]


def test_before_odoo_14_only_the_domain_tells_where_a_month_begins() -> None:
    question = Question([["date_order", ">=", "2020-01-01"]], [MONTH], [TOTAL], [])
    row = {MONTH: "October 2026", "__count": 3, "a0": 5.5, "__domain": [*question.domain, *RANGE]}
    told = READ_GROUP.answer(question, row)
    assert (told.keys[MONTH], told.values[TOTAL], told.count) == ("2026-10-01 00:00:00", 5.5, 3)


def test_what_a_version_leaves_out_is_not_taken_for_nothing() -> None:
    question = Question([], ["color"], [("min", "color")], [])
    with pytest.raises(Unimplemented):
        READ_GROUP.answer(question, {"color": 1, "__count": 3, "__domain": []})


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.none(), st.decimals(-1000, 1000, places=2))), max_size=40))
def test_joined_groups_have_the_figures_of_all_their_records(records: list[tuple[int, Decimal | None]]) -> None:
    def part(key: int, amount: Decimal | None) -> Part:
        value: Any = False if amount is None else float(amount)
        columns = {(function, "a"): value for function in ("sum", "min", "max")}
        return Part({"k": key}, [], {**columns, ("count", "a"): int(amount is not None)}, 1)

    joined = join(part(key, amount) for key, amount in records)
    assert {whole.keys["k"] for whole in joined} == {key for key, _ in records}
    for whole in joined:
        amounts = [amount for key, amount in records if key == whole.keys["k"] and amount is not None]
        told = {function: value for (function, _), value in whole.values.items() if value is not False}
        assert told.pop("count") == len(amounts)
        assert whole.count == sum(key == whole.keys["k"] for key, _ in records)
        expected = {"sum": sum(amounts), "min": min(amounts), "max": max(amounts)} if amounts else {}
        shown = {name: Decimal(str(value)) for name, value in told.items() if value is not None}
        assert shown == expected


def test_exact_numbers_are_ordered_as_numbers_and_nothing_comes_last() -> None:
    groups = [Group({"k": key}, {"total": total}) for key, total in (("a", "9.5"), ("b", None), ("c", "10"))]
    rising = ordered(groups, [Order("total"), Order("k")], {"total"})
    assert [group.keys["k"] for group in rising] == ["a", "c", "b"]
    falling = ordered(groups, [Order("total", descending=True)], {"total"})
    assert [group.keys["k"] for group in falling] == ["b", "c", "a"]


@given(
    st.dates(date(1990, 1, 1), date(2090, 1, 1)),
    st.sampled_from([DatePart.DAY, DatePart.WEEK, DatePart.MONTH, DatePart.QUARTER, DatePart.YEAR]),
    st.sampled_from(["UTC", "Europe/Brussels", "America/New_York", "Asia/Kolkata"]),
)
def test_parts_follow_each_other_without_a_gap(day: date, part: DatePart, name: str) -> None:
    zone = ZoneInfo(name)
    months = {DatePart.MONTH: 1, DatePart.QUARTER: 3, DatePart.YEAR: 12}.get(part)
    start = day.replace(month=(day.month - 1) // months * months + 1, day=1) if months else day
    first = first_day(in_utc(start, zone), part, zone)
    following = next_day(first, part)
    assert first <= day < following or part is DatePart.DAY
    assert first <= day < following
    assert first_day(in_utc(following, zone), part, zone) == following
    assert first_day(in_utc(following - timedelta(days=1), zone), DatePart.DAY, zone) < following
