from __future__ import annotations

from collections.abc import Mapping

import pytest
from opentelemetry.metrics import NoOpMeter
from sutler.errors import Unavailable

from services.cache.counting import Count, Counted, Counts
from services.cache.faults import cache_not_found, entry_corrupt, entry_not_found
from services.cache.gauges import Gauge, Gauges
from services.cache.measures import Measures
from services.cache.reporting import Reporter


class Memory:
    """Tallies in memory, which can be away."""

    def __init__(self) -> None:
        self.away = False
        self.counted: dict[tuple[int, Count], int] = {}
        self.gauges: Mapping[int, Gauge] = {}
        self.reports = 0

    async def report(self, process: str, counted: Counted, gauges: Mapping[int, Gauge]) -> None:
        if self.away:
            raise Unavailable("away")
        self.reports += 1
        for place, number in counted.items():
            self.counted[place] = self.counted.get(place, 0) + number
        self.gauges = gauges

    async def read(self, space: int) -> tuple[Mapping[Count, int], Gauge]:
        return {}, self.gauges.get(space, Gauge())


@pytest.fixture
def memory() -> Memory:
    return Memory()


def test_reads_that_find_nothing_count_by_their_reason() -> None:
    counts = Counts()
    for missing in (entry_not_found("caches/c", "k"), entry_corrupt("caches/c", "k", "size"), cache_not_found("c")):
        counts.missed(1, missing)
    assert counts.take() == {(1, Count.ABSENT): 1, (1, Count.CORRUPT): 1}
    assert not counts.take()


def test_gauges_know_what_goes_on_now() -> None:
    gauges = Gauges()
    with gauges.waiting(1), gauges.waiting(1), gauges.watching(1), gauges.watching(2):
        assert gauges.now() == {1: Gauge(2, 1), 2: Gauge(0, 1)}
    with pytest.raises(ValueError), gauges.waiting(1):
        raise ValueError
    assert gauges.now() == {}


async def test_counts_wait_while_the_store_is_away(memory: Memory) -> None:
    counts, gauges = Counts(), Gauges()
    reporter = Reporter(counts, gauges, memory, Measures(NoOpMeter("test")))
    memory.away = True
    counts.add(1, Count.HIT, 2)
    with pytest.raises(Unavailable):
        await reporter.flush()
    counts.add(1, Count.HIT)
    await reporter.run_once()
    memory.away = False
    counts.add(2, Count.PUT)
    await reporter.flush()
    assert memory.counted == {(1, Count.HIT): 3, (2, Count.PUT): 1}


async def test_the_end_of_all_that_went_on_is_reported_once(memory: Memory) -> None:
    gauges = Gauges()
    reporter = Reporter(Counts(), gauges, memory, Measures(NoOpMeter("test")))
    await reporter.flush()
    assert memory.reports == 0
    with gauges.watching(1):
        await reporter.flush()
        assert memory.gauges == {1: Gauge(0, 1)}
    for _ in range(2):
        await reporter.flush()
    assert (memory.reports, memory.gauges) == (2, {})
