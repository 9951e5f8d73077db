"""The work behind the RPCs about leases."""

from __future__ import annotations

import asyncio

from sutler.errors import Conflict, NotFound, SutlerError
from sutler.idempotency import Once

from services.cache.caches import Cache
from services.cache.counting import Count, Counts
from services.cache.entries import Entry
from services.cache.faults import lease_held
from services.cache.gauges import Gauges
from services.cache.giving import Giving
from services.cache.leases import Lease
from services.cache.leasing import Leased, Wish, extend, release
from services.cache.lines import Lines, Look
from services.cache.ports import MetadataBackend
from services.cache.reach import Reach


class Leases:
    """Gives, extends and ends leases.

    Args:
        reach: Finds caches.
        giving: Checks values before they are given out, and counts accesses.
        lines: Where callers wait.
        counts: Counts what calls find.
        gauges: Knows how many calls wait.
    """

    def __init__(self, reach: Reach, giving: Giving, lines: Lines, counts: Counts, gauges: Gauges) -> None:
        self._reach = reach
        self._giving = giving
        self._lines = lines
        self._counts = counts
        self._gauges = gauges

    async def lease(self, tenant: str, name: str, wish: Wish) -> Leased:
        """Returns an entry, or the right to compute it. May be cancelled at any moment: then nobody has the lease.

        An entry whose value is damaged is none. Whoever accepts a stale value does not wait.

        Raises:
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
            Conflict: If the wait ends without an answer (LEASE_HELD).
            Unavailable: If the backend does not answer, or the server stops.
        """
        loop = asyncio.get_running_loop()
        ends = loop.time() + wish.wait

        async def work(cache: Cache, backend: MetadataBackend) -> Leased:
            look = await self._lines.look(cache, backend, wish.key)
            self._count(cache, look)
            if look.entry is not None:
                return Leased(entry=await self._giving.accessed(cache, backend, look.entry, look.now))
            stale = await self._stale(cache, backend, look, wish)
            seconds = 0.0 if stale is not None else max(ends - loop.time(), 0.0)
            try:
                answer = await self._waited(cache, backend, wish, look, seconds)
            except Conflict:
                if stale is None:
                    raise
                self._counts.add(cache.space, Count.STALE_HIT)
                return Leased(stale=stale)
            if isinstance(answer, Lease):
                return Leased(lease=answer, stale=stale)
            return Leased(entry=answer)

        return await self._reach.on(tenant, name, work)

    async def extend(self, tenant: str, name: str, key: str, token: str, duration: float, once: Once | None) -> Lease:
        """Lets a lease last for ``duration`` seconds from now.

        Raises:
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
            Conflict: If it has ended (LEASE_LOST).
        """

        async def work(cache: Cache, backend: MetadataBackend) -> Lease:
            [result] = (await backend.change(cache, [extend(cache, key, token, duration)], once)).results
            if isinstance(result, SutlerError):
                raise result
            assert isinstance(result, Lease)
            return result

        return await self._reach.on(tenant, name, work)

    async def release(self, tenant: str, name: str, key: str, token: str, once: Once | None) -> None:
        """Ends a lease, if it has not ended.

        Raises:
            NotFound: If there is no such cache (CACHE_NOT_FOUND).
        """

        async def work(cache: Cache, backend: MetadataBackend) -> None:
            released = await backend.change(cache, [release(key, token)], once)
            self._counts.lost(cache.space, released.lost_leases)

        await self._reach.on(tenant, name, work)

    async def _waited(
        self, cache: Cache, backend: MetadataBackend, wish: Wish, look: Look, seconds: float
    ) -> Entry | Lease:
        if look.lease is not None and not seconds and not wish.got(look.lease):
            raise lease_held(cache.name, wish.key, look.lease.expire_time, look.now)
        with self._gauges.waiting(cache.space):
            answer = await self._lines.wait(cache, backend, wish, seconds)
        if isinstance(answer, Lease):
            return answer
        assert answer.entry is not None
        self._counts.add(cache.space, Count.HIT)
        return await self._giving.accessed(cache, backend, answer.entry, answer.now)

    def _count(self, cache: Cache, look: Look) -> None:
        """Counts what the first look of a call found."""
        if look.entry is not None:
            self._counts.add(cache.space, Count.HIT)
        elif look.missing is not None:
            self._counts.missed(cache.space, look.missing)
        else:
            self._counts.add(cache.space, Count.ABSENT if look.expired is None else Count.EXPIRED)

    async def _stale(self, cache: Cache, backend: MetadataBackend, look: Look, wish: Wish) -> Entry | None:
        """Returns the expired entry with its value, if it is one that is accepted, and whole."""
        expired = look.expired
        if expired is None or expired.expire_time is None or wish.max_stale is None:
            return None
        if look.now - expired.expire_time > min(wish.max_stale, cache.stale_retention):
            return None
        try:
            return await self._giving.whole(cache, backend, expired)
        except NotFound:
            return None
