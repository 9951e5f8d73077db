"""The work behind InvalidateEntries."""

from __future__ import annotations

from sutler.idempotency import Once

from services.cache.caches import Cache
from services.cache.ports import MetadataBackend
from services.cache.reach import Reach
from services.cache.selectors import Selector

STEP = 200
"""How many entries go in one change: some milliseconds, so that other calls do not wait long."""


class Invalidations:
    """Removes entries by selector.

    Args:
        reach: Finds caches.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach

    async def run(
        self,
        tenant: str,
        name: str,
        selector: Selector,
        once: Once | None,
        *,
        expire_only: bool,
        validate_only: bool,
    ) -> int:
        """Removes the entries that are meant, in small steps, and returns how many there were.

        No read that begins afterwards gives one of them. Those that expired before go too, so that nobody gets them as
        stale, but do not count. An entry that is put while this runs stays. After a crash in
        the middle a repeat removes the rest.

        Args:
            tenant: Whose cache it is.
            name: The cache.
            selector: Which entries.
            once: What remembers the answer.
            expire_only: Lets them expire now instead, so that they are kept for the cache's retention.
            validate_only: Counts them, and changes nothing.

        Raises:
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
        """
        count, after, more = 0, "", True
        while more:

            async def step(cache: Cache, backend: MetadataBackend, after: str = after) -> tuple[int, str, bool]:
                living = expire_only or validate_only
                marks = await backend.select(cache, selector, after, STEP, living=living)
                done = len(marks)
                if not validate_only and marks:
                    done = await backend.discard(cache, marks, expire_only=expire_only)
                return done, marks[-1].key if marks else after, len(marks) == STEP

            done, after, more = await self._reach.on(tenant, name, step)
            count += done
        if not validate_only:
            await self._reach.on(tenant, name, lambda _, backend: backend.remember(once, count))
        return count
