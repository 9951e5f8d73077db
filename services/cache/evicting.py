"""Makes room in caches that are over a limit, behind the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from sutler.errors import SutlerError

from services.cache.backends import Backends
from services.cache.caches import Cache, Usage, passes_limit
from services.cache.chunks import until_done
from services.cache.counting import Count, Counts
from services.cache.faults import CacheMovedError
from services.cache.ports import Catalogue, MetadataBackend

log = structlog.get_logger("sutler.cache")

PAUSE_SECONDS = 1.0
"""Before a cache is tried again whose backend did not answer."""


class Evictor:
    """Removes what is worth least, in small steps, until a cache is at 80 % of its limits.

    Any process may do it, and several at once: each step looks at what the cache takes then.

    Args:
        catalogue: The caches.
        backends: Where their entries are.
        flush: Stores accesses, so that what was just read does not go.
        counts: Counts what goes.
    """

    def __init__(
        self, catalogue: Catalogue, backends: Backends, flush: Callable[[], Awaitable[None]], counts: Counts
    ) -> None:
        self._catalogue = catalogue
        self._backends = backends
        self._flush = flush
        self._counts = counts
        self._waiting: dict[int, Cache] = {}
        self._woken = asyncio.Event()

    def notice(self, cache: Cache, usage: Usage) -> None:
        """Sees to a cache if it takes more than it may."""
        if cache.evicts and passes_limit(cache, usage):
            self.wake(cache)

    def wake(self, cache: Cache) -> None:
        """Looks soon whether a cache takes more than it may."""
        self._waiting[cache.space] = cache
        self._woken.set()

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                _, cache = self._waiting.popitem()
                await self._evict(cache)

    async def _evict(self, known: Cache) -> None:
        try:
            await self._flush()
            cache = await self._catalogue.get(known.tenant, known.id)
            if cache is None or not cache.evicts:
                return
            backend = self._backends.metadata(cache)
            if passes_limit(cache, await backend.usage(cache)):
                await until_done(partial(self._step, cache, backend))
        except CacheMovedError:
            self._waiting[known.space] = known
        except SutlerError as error:
            log.warning("cache.eviction_failed", cache=known.name, error=str(error))
            await asyncio.sleep(PAUSE_SECONDS)
            self._waiting.setdefault(known.space, known)

    async def _step(self, cache: Cache, backend: MetadataBackend) -> bool:
        swept = await backend.evict(cache)
        self._counts.swept(Count.EVICTION, swept.counts)
        return swept.more
