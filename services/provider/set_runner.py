"""Carries the calls for machine sets out, step by step, until a set is as wished."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from sutler.errors import Unavailable

from services.provider import sets
from services.provider.following import error_of, shortfall
from services.provider.limits import Limits
from services.provider.machines import MachineState
from services.provider.ports import Book, Kinds, Store
from services.provider.requests import MachineRequest, RequestKind, RequestState
from services.provider.wishes import Caller, MayEnd, Proposal, Sighting, Standing, Verdict, Wish, read_wish, try_wish

log = structlog.get_logger("sutler.provider")

POLL_SECONDS = 0.5
MAX_STEPS = 6
"""How many requests one call makes at the most before it leaves the rest to the next attempt."""

ALIVE_SECONDS = 5.0
"""How long a call says nothing at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProgress:
    """How far a call is.

    Attributes:
        percent: From 0 to 100.
        step: What is being done, for people.
        outputs: The outputs known so far.
        done: Whether all is as wished; the last one.
    """

    percent: int
    step: str
    outputs: Mapping[str, Any]
    done: bool = False


class SetRunner:
    """Carries calls out.

    Args:
        store: What is stored.
        kinds: The types of provider.
        limits: The limits of the service.
        shutdown: Set when the service stops; calls end with SHUTTING_DOWN then.
    """

    def __init__(self, store: Store, kinds: Kinds, limits: Limits, shutdown: asyncio.Event) -> None:
        self._store = store
        self._kinds = kinds
        self._limits = limits
        self._shutdown = shutdown
        self._stops: set[asyncio.Task[None]] = set()

    async def apply(self, caller: Caller, wish: Wish, may_end: MayEnd) -> AsyncIterator[SetProgress]:
        """Makes a set as wished, and tells how far it is.

        Raises:
            Conflict: If a later caller works on the set (LEASE_LOST).
            PermissionDenied: If the caller may not end a machine that is one too many.
            SutlerError: Why it cannot be done.
        """

        def step(book: Book) -> Standing:
            return sets.converge(book, self._kinds, self._limits, caller, wish, may_end)

        def look(book: Book) -> Standing:
            return sets.look(book, caller.tenant, caller.resource, wish)

        def told(standing: Standing) -> SetProgress:
            running = sum(machine.state is MachineState.RUNNING for machine in standing.machines)
            percent = 100 if standing.whole else 99 * min(running, wish.count) // max(1, wish.count)
            text = f"{running} of {wish.count} machines run"
            return SetProgress(percent=percent, step=text, outputs=sets.outputs(standing.machines), done=standing.whole)

        try:
            async for progress in self._steps(caller, step, look, told):
                yield progress
        except asyncio.CancelledError:
            self._stop(caller)
            raise

    async def delete(self, caller: Caller, may_end: MayEnd) -> AsyncIterator[SetProgress]:
        """Ends a set, and tells how far that is.

        Raises:
            Conflict: If a later caller works on the set (LEASE_LOST).
            PermissionDenied: If the caller may not end one of its machines.
            SutlerError: Why it cannot be done.
        """
        most = 1

        def told(standing: Standing) -> SetProgress:
            nonlocal most
            left = len(standing.machines)
            most = max(most, left)
            return SetProgress(
                percent=100 * (most - left) // most, step=f"{left} machines left", outputs={}, done=standing.whole
            )

        async for progress in self._steps(
            caller,
            lambda book: sets.remove(book, caller, may_end),
            lambda book: sets.left(book, caller.tenant, caller.resource),
            told,
        ):
            yield progress

    async def validate(self, proposal: Proposal) -> Verdict:
        """Returns what is wrong with a change of a set, and what it would do."""
        return await self._store.scan(lambda book: sets.judge(book, proposal))

    async def read(
        self, tenant: str, resource: str, desired: Mapping[str, Any], previous: Mapping[str, Any] | None
    ) -> Sighting:
        """Returns what is really there of a set.

        Raises:
            Invalid: If the desired properties are not those of a machine set.
        """
        wish = read_wish(desired)
        before = try_wish(previous)[0] if previous is not None else None
        return await self._store.scan(lambda book: sets.sight(book, tenant, resource, wish, before))

    async def _steps(
        self,
        caller: Caller,
        step: Callable[[Book], Standing],
        look: Callable[[Book], Standing],
        told: Callable[[Standing], SetProgress],
    ) -> AsyncIterator[SetProgress]:
        for _ in range(MAX_STEPS):
            begun = await self._store.change(step)
            yield told(begun)
            if begun.whole:
                return
            async for standing in self._until_rest(begun, look):
                yield told(standing)
                if standing.whole:
                    return
            await self._check_outcome(caller, begun)
        raise Unavailable(f"{caller.resource} does not come to rest: its machines end as fast as they start")

    async def _until_rest(self, begun: Standing, look: Callable[[Book], Standing]) -> AsyncIterator[Standing]:
        """Yields where a set stands, at each change, until nothing is under way for it."""
        last = begun
        loop = asyncio.get_running_loop()
        told_at = loop.time()
        while last.busy:
            if self._shutdown.is_set():
                raise Unavailable("the service is stopping; call again", reason="SHUTTING_DOWN")
            seen = self._store.seen()
            now = await self._store.scan(look)
            if now != last or loop.time() - told_at >= ALIVE_SECONDS:
                told_at = loop.time()
                yield now
            last = now
            if now.busy:
                await self._store.wait(POLL_SECONDS, seen)

    async def _check_outcome(self, caller: Caller, begun: Standing) -> None:
        """Raises why a request that was waited for did not bring what it should, if one did not."""

        def find(book: Book) -> list[MachineRequest]:
            found = [book.requests.get(caller.tenant, name) for name in begun.waits]
            return [request for request in found if request is not None and request.kind is RequestKind.ACQUIRE]

        for request in await self._store.scan(find):
            if request.state is not RequestState.COMPLETE:
                raise error_of(request) or shortfall(request)

    def _stop(self, caller: Caller) -> None:
        """Stops what was asked for, unless the service stops: then the next attempt finds it going on."""
        if self._shutdown.is_set():
            return
        task = asyncio.ensure_future(self._store.change(lambda book: sets.stop(book, caller)))
        self._stops.add(task)
        task.add_done_callback(self._stopped)

    def _stopped(self, task: asyncio.Task[None]) -> None:
        self._stops.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("what a caller does not wait for goes on", error=str(task.exception()))
