"""Figures of calls: what they say, and that several processes add up."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from services.erp.figures import MAX_GROUPS, Figures, Timing, summed


@given(st.lists(st.floats(1e-4, 100.0), min_size=1, max_size=300))
def test_times_are_right_within_five_per_cent(times: list[float]) -> None:
    timing = Timing()
    for one in times:
        timing.add(one, failed=False)
    exact = sorted(times)[max(0, -(-99 * len(times) // 100) - 1)]
    assert abs(timing.below(0.99) - exact) <= 0.05 * exact
    assert (timing.least, timing.most) == (min(times), max(times))


def test_processes_add_up_and_the_most_called_come_first() -> None:
    one, two = Figures(start_time=100.0), Figures(start_time=50.0)
    for seconds in (0.1, 0.3):
        one.called("sale.order", "read", seconds, failed=False)
    two.called("sale.order", "read", 0.2, failed=True)
    two.called("res.partner", "write", 0.4, failed=False)
    for figures, number in ((one, 6), (two, 2)):
        figures.add("read_requests", number)
        figures.add("read_calls", 2)
    two.now["open_calls"] = lambda: 3
    told = summed([orjson.loads(orjson.dumps(each.plain())) for each in (one, two)], 200.0)
    assert (told["create_time"], told["update_time"], told["open_calls"], told["coalescing_ratio"]) == (50, 200, 3, 2.0)
    assert [(call["model"], call["call_count"], call["failed_count"]) for call in told["calls"]] == [
        ("sale.order", 3, 1),
        ("res.partner", 1, 0),
    ]
    total = told["total"]
    assert (total["call_count"], total["success_ratio"], total["min_latency"]) == (4, 0.75, 0.1)
    assert abs(total["average_latency"] - 0.25) < 1e-9
    assert total["max_latency"] == 0.4


def test_nobody_makes_it_grow_without_bound() -> None:
    figures = Figures()
    for number in range(MAX_GROUPS + 50):
        figures.called(f"x.model{number}", "read", 0.1, failed=False)
    told = summed([figures.plain()], 0.0)
    assert len(told["calls"]) == MAX_GROUPS + 1
    assert (told["calls"][0]["method"], told["calls"][0]["call_count"]) == ("others", 50)
    assert told["total"]["call_count"] == MAX_GROUPS + 50
    empty = summed([Figures().plain()], 0.0)["total"]
    assert (empty["success_ratio"], empty["p99_latency"], empty["min_latency"]) == (1.0, 0.0, 0.0)
