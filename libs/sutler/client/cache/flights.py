"""One flight for each key: of all who miss a value at once, in all processes, one computes it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.access import Access
from sutler.client.cache.asking import Asking
from sutler.client.cache.background import Background
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers import CacheHandler, Encoded
from sutler.client.cache.leases import Leases, Policy
from sutler.client.cache.outages import OUTAGES, do_without
from sutler.client.cache.retention import Retention
from sutler.client.cache.turns import Answer, Flight, Outcome, Turn
from sutler.client.cache.values import Found
from sutler.errors import Conflict, Invalid

log = logging.getLogger(__name__)


class Flights:
    """The flights of one cache. All methods run in the cache's event loop.

    Args:
        access: The cache.
        leases: Its leases.
        retention: How long it keeps expired values.
    """

    def __init__(self, access: Access, leases: Leases, retention: Retention) -> None:
        self._access = access
        self._leases = leases
        self._retention = retention
        self._flights: dict[str, Flight] = {}
        self._background = Background()
        self._asking = Asking(access, leases, self._background)

    async def begin(self, key: str, policy: Policy) -> Answer:
        """Returns the value of a key, or the task to compute it.

        Raises:
            SutlerError: If the call is wrong, or the cache is down and ``policy.required`` is set.
            Exception: What the computation raised that this call waited for.
        """
        ends = asyncio.get_running_loop().time() + policy.wait
        waited = False
        while (flight := self._flights.get(key)) is not None and (flight.computing or not waited):
            flight.waiting += 1
            waited = True
            try:
                async with asyncio.timeout_at(ends):
                    found = await asyncio.shield(flight.landed)
            except TimeoutError:
                if not flight.landed.done():
                    return Answer(Outcome.MISS, turn=Turn(key, policy))
                raise
            finally:
                flight.waiting -= 1
            if found is not None:
                return Answer(Outcome.HIT, found)
        mine = Flight(key, asyncio.get_running_loop().create_future())
        self._flights.setdefault(key, mine)
        answer = Answer(Outcome.ERROR)
        try:
            answer = await self._asking.ask(key, policy)
        finally:
            self._depart(mine, answer)
        return answer

    def _depart(self, flight: Flight, answer: Answer) -> None:
        """Lets a flight go on to compute its value, or ends it: what was read for one may be too old for the next."""
        turn = answer.turn
        if turn is None:
            self._land(flight, None)
            return
        if answer.found is None:
            flight.computing, turn.flight = True, flight
            self._flights.setdefault(turn.key, flight)
        else:
            self._land(flight, None)
        turn.heartbeat = self._background.start(self._beat(turn))

    async def finish(self, turn: Turn, value: Any, *, keep: bool = True) -> bool:
        """Ends a turn with its value: puts it, and gives it to those who wait. Returns whether the cache is well.

        Args:
            turn: The turn.
            value: What was computed.
            keep: Whether it is to be put.

        Raises:
            TypeError: If no handler takes the value.
            SutlerError: If the put is wrong, or the cache is down and ``policy.required`` is set.
        """
        return await asyncio.shield(self._background.start(self._finish(turn, value, keep=keep)))

    def fail(self, turn: Turn, error: BaseException) -> None:
        """Ends a turn without a value. Those who wait in this process get the error; the others compute."""
        if turn.waited_for and turn.flight is not None and isinstance(error, Exception):
            turn.flight.landed.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
            turn.flight.landed.exception()  # it counts as seen, also if all who wait leave
        self._end(turn, None)
        if turn.token:
            self._background.start(self._leases.release(turn.key, turn.token))

    async def close(self) -> None:
        """Ends what still runs behind the calls."""
        await self._background.close()

    async def _finish(self, turn: Turn, value: Any, *, keep: bool) -> bool:
        found: Found | None = None
        entry: CacheEntry | None = None
        try:
            if (keep and turn.token) or turn.waited_for:
                handler, encoded = await self._access.values.encode(value)
                if keep and turn.token:
                    entry = await self._put(turn, handler, encoded)
                if turn.waited_for and (entry or await self._is_current(turn)):
                    found = await self._access.values.decode(entry or CacheEntry(turn.key), handler, encoded)
            return True
        except OUTAGES as error:
            do_without(self._access.name, error, turn.policy)
            return False
        finally:
            self._end(turn, found)
            if turn.token and entry is None:
                await self._leases.release(turn.key, turn.token)

    async def _put(self, turn: Turn, handler: CacheHandler, encoded: Encoded) -> CacheEntry | None:
        """Puts a value. Returns its entry; None if it was invalidated before it was ready, or is too large."""
        condition = pb.PutCondition(lease_token=turn.token)
        entry, timeout = turn.policy.entry(), turn.policy.timeout
        try:
            with self._access.filling(turn.key) as filling:
                put = await self._access.put(filling, handler, encoded, entry, condition, timeout)
            self._background.start(self._retention.check(turn.policy))
            return put
        except Conflict as error:
            if error.reason != "LEASE_LOST":
                raise
        except Invalid as error:
            if error.reason != "TOO_LARGE":
                raise
            log.warning("the value of %s is not kept: %s", turn.key, error)
        return None

    async def _is_current(self, turn: Turn) -> bool:
        """Returns whether nothing was invalidated meanwhile, so that later callers may have the value too."""
        return not turn.token or await self._leases.extend(turn.key, turn.token, turn.policy.lease)

    async def _beat(self, turn: Turn) -> None:
        await asyncio.sleep(turn.policy.lease / 3)
        if not turn.claimed:
            self.fail(turn, asyncio.CancelledError())
        elif turn.token:
            await self._leases.keep(turn.key, turn.token, turn.policy.lease)

    def _end(self, turn: Turn, found: Found | None) -> None:
        if turn.heartbeat is not None:
            turn.heartbeat.cancel()
        if turn.flight is not None:
            self._land(turn.flight, found)

    def _land(self, flight: Flight, found: Found | None) -> None:
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if not flight.landed.done():
            flight.landed.set_result(found)
