"""Fires schedules at their ticks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import structlog
from sutler.errors import Internal, SutlerError

from services.rule.backlog import Backlog
from services.rule.failures import Failure, from_error
from services.rule.firing import Firing, plan
from services.rule.measures import Measures
from services.rule.outcomes import Aftermath, Claim
from services.rule.publishing import Follower
from services.rule.schedules import Due, Schedule

log = structlog.get_logger("sutler.rule")

BATCH = 50
"""How many schedules fire in one transaction."""

POLL_SECONDS = 1.0
"""How often to look for schedules that another process wrote."""

TROUBLE_SECONDS = 1.0
"""How long to rest when the store cannot be used."""


class Firings(Protocol):
    """The schedules of all tenants, for those who fire them."""

    async def due(self, limit: int) -> Due:
        """Returns schedules that are due."""
        ...

    async def fire(self, firings: Sequence[Firing], claim: Claim) -> tuple[int, Aftermath]:
        """Publishes what schedules say and moves them on, in one transaction, unless that has been done meanwhile.

        Returns:
            How many events were published, and what follows.
        """
        ...


class Scheduler:
    """Fires the schedules of all tenants, in every process; the store lets each tick fire once.

    Args:
        firings: The schedules.
        follower: Begins what follows from published events.
        backlog: Refuses events when too much waits.
        measures: Counts.
    """

    def __init__(self, firings: Firings, follower: Follower, backlog: Backlog, measures: Measures) -> None:
        self._firings = firings
        self._follower = follower
        self._backlog = backlog
        self._measures = measures
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """Looks again at once, as a schedule may have changed."""
        self._nudged.set()

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            self._nudged.clear()
            try:
                pause = await self._step()
            except SutlerError as error:
                log.warning("rule.store_trouble", error=str(error))
                await asyncio.sleep(TROUBLE_SECONDS)
                continue
            if pause > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nudged.wait(), pause)

    async def _step(self) -> float:
        """Fires what is due, and returns how long to sleep unless a schedule changes."""
        due = await self._firings.due(BATCH)
        if not due.schedules:
            return POLL_SECONDS if due.next_time is None else min(POLL_SECONDS, due.next_time - due.now)
        refusal = self._refusal()
        firings = [_plan(schedule, due.now) for schedule in due.schedules]
        if refusal is not None:
            firings = [replace(f, failure=refusal, content=None) if f.content is not None else f for f in firings]
        published, aftermath = await self._firings.fire(firings, Claim(self._follower.holder, self._follower.room))
        self._follower.follow(aftermath)
        self._backlog.add(aftermath.begun)
        self._measures.accepted(published)
        return 0.0

    def _refusal(self) -> Failure | None:
        try:
            self._backlog.check()
        except SutlerError as error:
            return from_error(error)
        return None


def _plan(schedule: Schedule, now: float) -> Firing:
    try:
        return plan(schedule, now)
    except Exception as error:
        # A fault of the program or of this machine, such as a time zone that its database has lost. It must not stop
        # the other schedules, nor be tried in a busy loop.
        log.error("rule.schedule_broken", schedule=schedule.name, exc_info=error)
        failure = from_error(Internal(f"{schedule.name} cannot be fired by this server; its log tells why"))
        return Firing(schedule, schedule.next_tick, None, failure=failure)
