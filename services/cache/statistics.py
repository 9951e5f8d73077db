"""The work behind GetCacheStats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.cache.caches import Cache, Usage
from services.cache.counting import Count
from services.cache.gauges import Gauge
from services.cache.managing import Caches
from services.cache.ports import Tallies
from services.cache.reach import Reach
from services.cache.reporting import Reporter


@dataclass(frozen=True, slots=True)
class Stats:
    """Sizes and counters of one cache.

    Attributes:
        cache: The cache.
        usage: What it takes.
        counts: How often each thing happened since it was created, in all processes.
        gauge: What goes on in it now, in all processes.
    """

    cache: Cache
    usage: Usage
    counts: Mapping[Count, int]
    gauge: Gauge


class Statistics:
    """Tells what happens in a cache.

    Args:
        caches: Finds caches.
        reach: Leads to their entries.
        tallies: What all processes counted.
        reporter: Stores what this one counted.
    """

    def __init__(self, caches: Caches, reach: Reach, tallies: Tallies, reporter: Reporter) -> None:
        self._caches = caches
        self._reach = reach
        self._tallies = tallies
        self._reporter = reporter

    async def get(self, tenant: str, cache_id: str) -> Stats:
        """Returns sizes and counters: of this process up to now, of others up to a second ago.

        Raises:
            NotFound: If there is no such cache.
        """
        cache = await self._caches.get(tenant, cache_id)
        await self._reporter.flush()
        usage = await self._reach.on(tenant, cache.name, lambda cache, backend: backend.usage(cache))
        counts, gauge = await self._tallies.read(cache.space)
        return Stats(cache, usage, counts, gauge)
