"""Finds the cache that a call names, and sees to it that the call works on the cache as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from sutler.errors import Unavailable

from services.cache.backends import Backends
from services.cache.caches import COLLECTION, Cache
from services.cache.faults import CacheMovedError, cache_not_found
from services.cache.ports import Catalogue, MetadataBackend

T = TypeVar("T")

ATTEMPTS = 10


class Reach:
    """Leads from the name of a cache to its entries.

    What is known of a cache may be old. The backend notices, in the same step that reads or changes entries; then the
    cache is read again and the step repeated. So no call pays a look at the catalogue, and none works by old rules.

    Args:
        catalogue: The caches.
        backends: Where their entries are.
    """

    def __init__(self, catalogue: Catalogue, backends: Backends) -> None:
        self._catalogue = catalogue
        self._backends = backends

    async def on(self, tenant: str, name: str, work: Callable[[Cache, MetadataBackend], Awaitable[T]]) -> T:
        """Returns what ``work`` makes of a cache and the backend of its metadata; it may be called again.

        Raises:
            NotFound: If the tenant has no such cache (CACHE_NOT_FOUND).
            Exception: What ``work`` raises.
        """
        cache_id = name.removeprefix(f"{COLLECTION}/")
        cache = self._catalogue.recall(tenant, cache_id) or await self._find(tenant, cache_id)
        for _ in range(ATTEMPTS):
            try:
                return await work(cache, self._backends.metadata(cache))
            except CacheMovedError:
                cache = await self._find(tenant, cache_id)
        raise Unavailable(
            f"{name} changes all the time; try again",
            reason="STORAGE_UNAVAILABLE",
            metadata={"cause": "the cache changes"},
            retry_after=timedelta(seconds=1),
        )

    async def _find(self, tenant: str, cache_id: str) -> Cache:
        cache = await self._catalogue.get(tenant, cache_id)
        if cache is None:
            raise cache_not_found(f"{COLLECTION}/{cache_id}")
        return cache
