"""Blobs that no entry refers to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import structlog

from services.cache.backends import Backends
from services.cache.ports import BlobBackend, Catalogue

log = structlog.get_logger("sutler.cache")

PAGE = 500


class Orphans:
    """Finds blobs that no entry refers to.

    As long as a cache names a metadata backend that is not configured here, none is found: entries there may refer to
    any blob.

    Args:
        catalogue: The caches.
        backends: Where entries are that might refer to blobs.
    """

    def __init__(self, catalogue: Catalogue, backends: Backends) -> None:
        self._catalogue = catalogue
        self._backends = backends

    async def among(self, blobs: BlobBackend, tenant: str = "") -> AsyncIterator[Sequence[str]]:
        """Yields the locators of blobs in one place that are old enough and that nobody refers to, in small groups.

        Args:
            blobs: The place.
            tenant: Whose blobs; of all tenants if empty.
        """
        missing = await self._missing()
        if missing:
            log.warning("cache.orphans_not_looked_for", missing_backend=missing)
            return
        async for locators in blobs.old(tenant):
            known: set[str] = set()
            for backend in self._backends.all_metadata().values():
                known |= await backend.known(locators)
            yield [locator for locator in locators if locator not in known]

    async def _missing(self) -> str:
        """Returns a metadata backend that a cache names and that is not configured; empty if there is none."""
        after, configured = 0, self._backends.all_metadata()
        while caches := await self._catalogue.after(after, PAGE):
            for cache in caches:
                if cache.rules.metadata_backend not in configured:
                    return cache.rules.metadata_backend
            after = caches[-1].space
        return ""
