"""Programs without asyncio that tests run in processes of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sutler.client.cache import cached, open_sync
from sutler.testing.waiting import wait_blocking


def counted(address: str, name: str, results: Any) -> None:
    """Calls a cached function from two threads; each time that it runs, a counter goes up."""
    with open_sync(name, address) as cache:

        @cached(cache=cache, prefix="counted")
        def load(names: set[str]) -> str:
            cache.increment("runs")
            wait_blocking(lambda: cache.increment("started", 0) == 4, 40)
            return "value"

        cache.increment("started")
        with ThreadPoolExecutor(2) as threads:
            results.put(list(threads.map(load, [{"a", "b", "c"}] * 2)))
