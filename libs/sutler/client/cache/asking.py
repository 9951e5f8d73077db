"""Asks a cache for a value, or for the lease to compute it."""

from __future__ import annotations

import logging

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.access import Access, Filling
from sutler.client.cache.background import Background
from sutler.client.cache.entries import expired_seconds
from sutler.client.cache.handlers import ValueUnreadable
from sutler.client.cache.leases import Leases, Policy
from sutler.client.cache.outages import OUTAGES, do_without
from sutler.client.cache.turns import Answer, Outcome, Turn
from sutler.client.cache.values import is_miss, is_replaced
from sutler.errors import SutlerError
from sutler.resilience import Breaker

BREAKER = {"failures": 3, "window": 30.0, "pause": 5.0}
ATTEMPTS = 3

log = logging.getLogger(__name__)


class Asking:
    """Asks one cache; one that does not answer is left alone for a while.

    Args:
        access: The cache.
        leases: Its leases.
        background: Where leases are released that nobody can use.
    """

    def __init__(self, access: Access, leases: Leases, background: Background) -> None:
        self._access = access
        self._leases = leases
        self._background = background
        self._breaker = Breaker(f"the cache {access.name}", **BREAKER)  # type: ignore[arg-type]

    async def ask(self, key: str, policy: Policy) -> Answer:
        """Returns the value of a key, or the task to compute it; without a lease if the cache cannot serve.

        Raises:
            SutlerError: If the call is wrong, or the cache is down and ``policy.required`` is set.
        """
        for _ in range(ATTEMPTS):
            try:
                with self._access.filling(key) as filling:
                    async with self._breaker.guard(*OUTAGES):
                        response = await self._leases.ask(key, policy)
                    return await self._taken(filling, policy, response)
            except ValueUnreadable as error:
                log.warning("%s; it is computed, and not put", error)
                return Answer(Outcome.ERROR, turn=Turn(key, policy))
            except OUTAGES as error:
                do_without(self._access.name, error, policy)
                return Answer(Outcome.ERROR, turn=Turn(key, policy))
            except SutlerError as error:
                if not is_replaced(error) and not is_miss(error):
                    raise
        return Answer(Outcome.MISS, turn=Turn(key, policy))

    async def _taken(self, filling: Filling, policy: Policy, response: pb.LeaseEntryResponse | None) -> Answer:
        """Returns the answer that a response stands for."""
        key = filling.key
        if response is None:
            return Answer(Outcome.MISS, turn=Turn(key, policy))
        kind = response.WhichOneof("result")
        if kind == "entry":
            return Answer(Outcome.HIT, await self._access.found(response.entry, filling))
        if kind == "stale_entry":
            return Answer(Outcome.STALE, await self._access.values.found(key, response.stale_entry))
        turn = Turn(key, policy, response.lease.lease_token)
        try:
            if response.lease.HasField("stale_entry"):
                turn.stale = await self._access.values.found(key, response.lease.stale_entry)
        except (SutlerError, ValueUnreadable):
            return Answer(Outcome.MISS, turn=turn)
        except BaseException:
            self._background.start(self._leases.release(key, turn.token))
            raise
        if turn.stale is not None and expired_seconds(turn.stale.entry) <= policy.stale:
            return Answer(Outcome.STALE, turn.stale, turn)
        return Answer(Outcome.MISS, turn=turn)
