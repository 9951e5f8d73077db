"""The leases of one cache, and the rules by which a value is computed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.arguments import checked_texts, seconds_of
from sutler.errors import Conflict, SutlerError
from sutler.wire import duration, seconds

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules by which a value is looked up, computed and put. All times are in seconds.

    Attributes:
        ttl: How long it lives: as the cache says if None, without end if 0.
        tags: Its groups.
        stale: How long after its end a value is still given while another one is computed.
        stale_if_error: How long after its end a value is still given if computing fails.
        lease: How long others wait for a holder that has died.
        wait: How long a call waits for a value that another one computes.
        timeout: How long a call to the cache may take.
        required: Raises if the cache does not serve, rather than computing without it.
    """

    ttl: float | None = None
    tags: tuple[str, ...] = ()
    stale: float = 0.0
    stale_if_error: float = 0.0
    lease: float = 10.0
    wait: float = 30.0
    timeout: float = 2.0
    required: bool = False

    def __post_init__(self) -> None:
        for name in ("ttl", "stale", "stale_if_error", "lease", "wait", "timeout"):
            if (getattr(self, name) or 0.0) < 0:
                raise ValueError(f"{name} is {getattr(self, name):g} seconds; it cannot be negative")

    @classmethod
    def of(
        cls, *, ttl: float | timedelta | None, tags: Iterable[str], required: bool, **times: float | timedelta
    ) -> Policy:
        """Returns the rules that a program gives.

        Raises:
            TypeError: If the tags are no list of texts, or a time is no number and no timedelta.
            ValueError: If a time is negative.
        """
        return cls(
            ttl=None if ttl is None else seconds_of("ttl", ttl),
            tags=checked_texts("tags", tags),
            required=required,
            **{name: seconds_of(name, time) for name, time in times.items()},
        )

    def entry(self) -> pb.Entry:
        """Returns an entry with the life and the tags of the value."""
        return pb.Entry(tags=self.tags, ttl=None if self.ttl is None else duration(self.ttl))


class Leases:
    """Asks for leases, keeps and releases them.

    Args:
        stub: The stub of CacheService.
        cache: The cache, ``caches/{cache}``.
    """

    def __init__(self, stub: Any, cache: str) -> None:
        self._stub = stub
        self._cache = cache

    async def ask(self, key: str, policy: Policy) -> pb.LeaseEntryResponse | None:
        """Returns the entry, a lease, or None if another held the lease for all of ``policy.wait``.

        A cache that does not answer is given up after ``policy.timeout``, so the first call does not wait for others.

        Raises:
            SutlerError: As LeaseEntry.
        """
        answer = await self._ask(key, policy, 0.0, max(policy.stale, policy.stale_if_error))
        if answer is None or _too_stale(answer, policy.stale):
            return await self._ask(key, policy, policy.wait, policy.stale)
        return answer

    async def _ask(self, key: str, policy: Policy, wait: float, stale: float) -> pb.LeaseEntryResponse | None:
        request = pb.LeaseEntryRequest(
            cache=self._cache,
            key=key,
            lease_duration=duration(policy.lease),
            wait_timeout=duration(wait),
            max_stale=duration(stale) if stale else None,
            tags=policy.tags,
        )
        try:
            answer: pb.LeaseEntryResponse = await self._stub.LeaseEntry(request, timeout=policy.timeout + wait)
        except Conflict as error:
            if error.reason == "LEASE_HELD":
                return None
            raise
        return answer

    async def keep(self, key: str, token: str, length: float) -> None:
        """Extends a lease again and again, until it has ended or this is cancelled."""
        while True:
            try:
                if not await self.extend(key, token, length):
                    return
            except SutlerError as error:
                log.debug("the lease of %s could not be extended: %s", key, error)
            await asyncio.sleep(length / 3)

    async def extend(self, key: str, token: str, length: float) -> bool:
        """Lets a lease last longer. Returns whether it has not ended.

        Raises:
            SutlerError: If the cache does not serve.
        """
        request = pb.ExtendLeaseRequest(cache=self._cache, key=key, lease_token=token, lease_duration=duration(length))
        try:
            await self._stub.ExtendLease(request, timeout=length / 3)
        except Conflict:
            return False
        return True

    async def release(self, key: str, token: str) -> None:
        """Ends a lease; if that fails, it ends on its own."""
        request = pb.ReleaseLeaseRequest(cache=self._cache, key=key, lease_token=token)
        try:
            await self._stub.ReleaseLease(request, timeout=2.0)
        except SutlerError as error:
            log.debug("the lease of %s could not be released: %s", key, error)


def _too_stale(answer: pb.LeaseEntryResponse, limit: float) -> bool:
    """Returns whether a value has been expired for longer than it may be given without an error."""
    if answer.WhichOneof("result") != "stale_entry":
        return False
    return time.time() - seconds(answer.stale_entry.expire_time) > limit
