"""One flight for each key: of all who miss a value at once, in all processes, one computes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.access import Access, Filling
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers import CacheHandler, Encoded, ValueUnreadable
from sutler.client.cache.leases import Leases, Policy
from sutler.client.cache.turns import Answer, Flight, Outcome, Turn
from sutler.client.cache.values import Found, is_miss, is_replaced
from sutler.errors import (
    Cancelled,
    Conflict,
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    Internal,
    Invalid,
    SutlerError,
    Unavailable,
    Unknown,
)
from sutler.resilience import Breaker

OUTAGES = (Unavailable, DeadlineExceeded, Internal, Unknown, Exhausted, DataLoss, Cancelled)
"""Errors that say that the cache cannot serve now; all others say that the call is wrong, and are raised."""
BREAKER = {"failures": 3, "window": 30.0, "pause": 5.0}
ASK_ATTEMPTS = 3

log = logging.getLogger(__name__)


class Flights:
    """The flights of one cache. All methods run in the cache's event loop.

    Args:
        access: The cache.
        leases: Its leases.
    """

    def __init__(self, access: Access, leases: Leases) -> None:
        self._access = access
        self._leases = leases
        self._flights: dict[str, Flight] = {}
        self._breaker = Breaker(f"the cache {access.name}", **BREAKER)  # type: ignore[arg-type]
        self._behind: set[asyncio.Task[Any]] = set()

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
            answer = await self._ask(key, policy)
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
        turn.heartbeat = self._detached(self._beat(turn))

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
        return await asyncio.shield(self._detached(self._finish(turn, value, keep=keep)))

    def fail(self, turn: Turn, error: BaseException) -> None:
        """Ends a turn without a value. Those who wait in this process get the error; the others compute."""
        if turn.waited_for and turn.flight is not None and isinstance(error, Exception):
            turn.flight.landed.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)
            turn.flight.landed.exception()  # it counts as seen, also if all who wait leave
        self._end(turn, None)
        if turn.token:
            self._detached(self._leases.release(turn.key, turn.token))

    async def close(self) -> None:
        """Ends what still runs behind the calls."""
        for task in tuple(self._behind):
            task.cancel()
        await asyncio.gather(*self._behind, return_exceptions=True)

    async def _ask(self, key: str, policy: Policy) -> Answer:
        for _ in range(ASK_ATTEMPTS):
            try:
                with self._access.filling(key) as filling:
                    async with self._breaker.guard(*OUTAGES):
                        response = await self._leases.ask(key, policy)
                    return await self._taken(filling, policy, response)
            except ValueUnreadable as error:
                log.warning("%s; it is computed, and not put", error)
                return Answer(Outcome.ERROR, turn=Turn(key, policy))
            except OUTAGES as error:
                self._note(error, policy)
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
        except BaseException as error:
            self.fail(turn, error)
            raise
        if turn.stale is not None and age(turn.stale.entry) <= policy.stale:
            return Answer(Outcome.STALE, turn.stale, turn)
        return Answer(Outcome.MISS, turn=turn)

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
            self._note(error, turn.policy)
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
                return await self._access.put(filling, handler, encoded, entry, condition, timeout)
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

    def _note(self, error: SutlerError, policy: Policy) -> None:
        if policy.required:
            raise error
        log.warning("%s does not serve, values are computed without it: %s", self._access.name, error)

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

    def _detached(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)
        return task


def age(entry: CacheEntry) -> float:
    """Returns for how many seconds an entry has been expired."""
    return 0.0 if entry.expire_time is None else (datetime.now(UTC) - entry.expire_time).total_seconds()
