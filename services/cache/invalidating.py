"""The work behind InvalidateEntries."""

from __future__ import annotations

from collections.abc import Sequence

from sutler.idempotency import Once
from sutler.ids import new_id

from services.cache.caches import Cache
from services.cache.counting import Count, Counts
from services.cache.ports import MetadataBackend
from services.cache.publishing import Publishing
from services.cache.reach import Reach
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Scope

STEP = 200
"""How many entries go in one change: some milliseconds, so that other calls do not wait long."""

MAX_TOLD = 1000
"""Of so many entries that match a filter followers are told by key; of more, that all is to be forgotten."""


class Invalidations:
    """Removes entries by selector.

    Args:
        reach: Finds caches.
        counts: Counts what is invalidated.
        publishing: Tells of what is invalidated.
    """

    def __init__(self, reach: Reach, counts: Counts, publishing: Publishing) -> None:
        self._reach = reach
        self._counts = counts
        self._publishing = publishing

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
        stale, but do not count. An entry that is put while this runs stays. After a crash in the middle a repeat
        removes the rest.

        Leases end first, so that nothing gets in that was computed before. Followers are told before and after: one
        that read an old value again in between forgets it again.

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
        if validate_only:
            count, _ = await self._steps(tenant, name, selector, expire_only=False, validate_only=True)
            return count
        scopes, call_id = scopes_of(selector), once.request_id if once else new_id()

        async def begin(cache: Cache, backend: MetadataBackend) -> None:
            ended = await backend.announce(cache, scopes, Cause.INVALIDATE, ending=selector)
            self._counts.lost(cache.space, ended)

        await self._reach.on(tenant, name, begin)
        count, matched = await self._steps(tenant, name, selector, expire_only=expire_only, validate_only=False)
        if selector.filter is not None and matched > MAX_TOLD:
            scopes = [(Scope.ALL, "")]

        async def end(cache: Cache, backend: MetadataBackend) -> None:
            await self._publishing.tell(cache, selector, count, call_id)
            await backend.announce(cache, scopes, Cause.INVALIDATE, once=once, result=count)

        await self._reach.on(tenant, name, end)
        return count

    async def _steps(
        self, tenant: str, name: str, selector: Selector, *, expire_only: bool, validate_only: bool
    ) -> tuple[int, int]:
        """Goes through the entries; returns how many lived, and how many matched at all."""
        count, matched, after, more = 0, 0, "", True
        while more:
            told = Cause.INVALIDATE if selector.filter is not None and matched <= MAX_TOLD else None

            async def step(
                cache: Cache, backend: MetadataBackend, after: str = after, told: Cause | None = told
            ) -> tuple[int, Sequence[Mark]]:
                living = expire_only or validate_only
                marks = await backend.select(cache, selector, after, STEP, living=living)
                if validate_only or not marks:
                    return len(marks), marks
                done = await backend.discard(cache, marks, expire_only=expire_only, cause=told)
                self._counts.add(cache.space, Count.INVALIDATION, done.count)
                self._counts.lost(cache.space, done.lost_leases)
                return done.count, marks

            done, marks = await self._reach.on(tenant, name, step)
            count, matched = count + done, matched + len(marks)
            more = len(marks) == STEP
            after = marks[-1].key if marks else after
        return count, matched


def scopes_of(selector: Selector) -> Sequence[tuple[Scope, str]]:
    """Returns what followers are told to forget; nothing for a filter, whose entries they are told of by key."""
    if selector.everything:
        return [(Scope.ALL, "")]
    if selector.prefix:
        return [(Scope.PREFIX, selector.prefix)]
    keys = [(Scope.KEY, key) for key in selector.keys]
    return keys + [(Scope.TAG, tag) for tag in selector.tags]
