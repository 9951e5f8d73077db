"""Tells when expired values are wanted for longer than their cache keeps them."""

from __future__ import annotations

import logging
from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.leases import Policy
from sutler.errors import SutlerError
from sutler.wire import seconds

log = logging.getLogger(__name__)


class Retention:
    """How long one cache keeps expired values.

    Args:
        stub: The stub of CacheService.
        cache: The cache, ``caches/{cache}``.
    """

    def __init__(self, stub: Any, cache: str) -> None:
        self._stub = stub
        self._cache = cache
        self._checked = False

    async def check(self, policy: Policy) -> None:
        """Logs a warning, once, if a policy wants expired values for longer than they are kept."""
        wanted = max(policy.stale, policy.stale_if_error)
        if not wanted or self._checked:
            return
        self._checked = True
        try:
            cache = await self._stub.GetCache(pb.GetCacheRequest(name=self._cache), timeout=policy.timeout)
        except SutlerError as error:  # it may be read without this permission
            log.debug("how long %s keeps expired values is not known: %s", self._cache, error)
            return
        kept = seconds(cache.stale_retention)
        if kept < wanted:
            log.warning(
                "%s keeps expired values for %g s, so none is given for the %g s that stale= and stale_if_error= name: "
                "raise its stale_retention",
                self._cache,
                kept,
                wanted,
            )
