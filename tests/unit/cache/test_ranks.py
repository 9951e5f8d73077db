from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from services.cache.ranks import HALF_LIFE_SECONDS, frequent

NOW = 1_800_000_000.0
HOUR = 3600.0

times = st.floats(NOW - 30 * 24 * HOUR, NOW)
uses = st.integers(1, 1_000_000)


def used(*when: float) -> float:
    """The rank of an entry that was put at the first time and used at the others."""
    rank = when[0]
    for time in when[1:]:
        rank = frequent(rank, 1, time)
    return rank


def test_what_was_used_often_outlives_what_was_used_now() -> None:
    often = frequent(NOW - HOUR, 9, NOW - HOUR)
    assert often > used(NOW, NOW, NOW)
    assert often < used(*[NOW] * 6)
    assert math.isclose(often, used(*[NOW] * 5))


def test_old_uses_count_half_for_every_half_life() -> None:
    before = frequent(NOW, 7, NOW)
    assert math.isclose(before, frequent(NOW - HALF_LIFE_SECONDS, 15, NOW - HALF_LIFE_SECONDS))
    assert math.isclose(before, NOW + 3 * HALF_LIFE_SECONDS)


def test_a_use_of_long_ago_is_nothing() -> None:
    assert frequent(0.0, 1, NOW) == NOW
    assert frequent(0.0, 8, NOW) == NOW + 3 * HALF_LIFE_SECONDS
    assert frequent(NOW, 8, 0.0) == NOW


@given(rank=times, count=uses, time=times)
def test_a_use_never_lowers_a_rank(rank: float, count: int, time: float) -> None:
    assert frequent(rank, count, time) >= max(rank, time)


@given(rank=times, first=uses, second=uses, time=times)
def test_uses_that_are_stored_together_count_as_much_as_one_by_one(
    rank: float, first: int, second: int, time: float
) -> None:
    together = frequent(rank, first + second, time)
    assert math.isclose(frequent(frequent(rank, first, time), second, time), together, abs_tol=1e-3)


@given(rank=times, one=times, other=times, count=uses)
def test_the_order_in_which_uses_are_stored_does_not_matter(rank: float, one: float, other: float, count: int) -> None:
    forth = frequent(frequent(rank, 1, one), count, other)
    back = frequent(frequent(rank, count, other), 1, one)
    assert math.isclose(forth, back, abs_tol=1e-3)
