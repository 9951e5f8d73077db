"""The gate before an ERP: how many calls at once, how many in a time, and none while it is down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sutler.context import current
from sutler.errors import SutlerError, Unavailable
from sutler.resilience import Breaker, BreakerState

from services.erp import faults
from services.erp.connections import BreakerPolicy, ConnectionSpec
from services.erp.faults import AnswerLostError
from services.erp.figures import Figures
from services.erp.turns import Turns
from services.erp.users import Ask

Report = Callable[[SutlerError | None, bool], None]
"""Told how each call ended: with an error of transport or without, and whether the breaker is open now."""

LoginReport = Callable[[Ask, SutlerError | None], None]
"""Told how each login ended: with the ERP's refusal or without."""


@dataclass(slots=True)
class Turn:
    """One network call that is under way.

    Attributes:
        room: How many large answers this process has in memory at once.
        refused: Whether the ERP answered with an error; whoever reads the answer says so.
    """

    room: asyncio.Semaphore
    refused: bool = False
    _large: bool = False

    async def make_room(self) -> None:
        """Waits until there is room for a large answer, up to where this turn ends."""
        if not self._large:
            await self.room.acquire()
            self._large = True

    def end(self) -> None:
        """Leaves the room to others."""
        if self._large:
            self._large = False
            self.room.release()


LARGE_AT_ONCE = 4
"""How many answers above 1 MiB a process has in memory at once."""


class Gate:
    """Gives calls to one ERP their turn, fair between callers.

    Args:
        connection: The name of the connection, for errors.
        spec: The limits.
        report: Told how each call ended.
        figures: Counts the calls.
        report_login: Told how each login ended.
        room: How many large answers the process has in memory at once, of all connections.

    Attributes:
        login_ended: To be called with each login and the ERP's refusal, or none.
        retired: Whether other settings have taken its place, so that only what is under way goes on.
    """

    def __init__(
        self,
        connection: str,
        spec: ConnectionSpec,
        report: Report,
        figures: Figures | None = None,
        report_login: LoginReport = lambda ask, error: None,
        room: asyncio.Semaphore | None = None,
    ) -> None:
        policy = spec.breaker_policy or BreakerPolicy()
        self.figures = figures or Figures()
        self._room = room or asyncio.Semaphore(LARGE_AT_ONCE)
        self._connection = connection
        self._disabled = spec.disabled
        self._report = report
        self.login_ended = report_login
        self.retired = False
        self._calls: int = 0
        self._turns = Turns(connection, spec.concurrency, spec.rate_limit, spec.queue_wait_seconds)
        self.figures.now |= {"open_calls": lambda: self._calls, "queued_calls": lambda: self._turns.waiting}
        self._policy = policy
        self._breaker = self._new_breaker()
        self._failure = ""
        self._idle = asyncio.Event()
        self._idle.set()

    def _new_breaker(self) -> Breaker:
        policy = self._policy
        # The contract counts how many failures open it; the breaker counts how many are borne.
        return Breaker(
            self._connection,
            failures=(policy.failure_limit or 5) - 1,
            window=policy.interval or 60.0,
            pause=policy.open_duration or 30.0,
        )

    @property
    def open(self) -> bool:
        """Whether the breaker refuses calls."""
        return self._breaker.state is BreakerState.OPEN

    async def idle(self) -> None:
        """Returns when no call is under way."""
        await self._idle.wait()

    def reset(self) -> None:
        """Closes the breaker: the ERP was checked, and it answers."""
        self._breaker = self._new_breaker()

    @asynccontextmanager
    async def turn(self, *, probe: bool = False, model: str = "", method: str = "") -> AsyncIterator[Turn]:
        """Holds a place while one network call is made.

        Args:
            probe: Goes past an open breaker, for a check that somebody asked for.
            model: The model that is called, for figures; empty for calls without one.
            method: The ERP's method, for figures.

        Raises:
            FailedPrecondition: If the connection is switched off.
            Exhausted: If the turn does not come in time (OVERLOADED, RATE_LIMITED).
            Unavailable: If the breaker is open (BREAKER_OPEN).
        """
        if self._disabled:
            raise faults.connection_disabled(self._connection)
        caller = current().principal
        async with self._turns.turn(f"{caller.tenant}/{caller.actor}"):
            self._calls += 1
            self._idle.clear()
            try:
                async with self._told() if probe else self._guarded(), self._counted(model, method) as turn:
                    yield turn
            finally:
                self._calls -= 1
                if not self._calls:
                    self._idle.set()

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[None]:
        admitted = False
        try:
            async with self._told(), self._breaker.guard(Unavailable, AnswerLostError):
                admitted = True
                yield
        except AnswerLostError as lost:
            self._failure = lost.error.message
            raise
        except Unavailable as error:
            if admitted:
                self._failure = error.message
                raise
            self.figures.add("refused_calls")
            raise faults.breaker_open(self._connection, error.retry_after, self._failure) from error

    @asynccontextmanager
    async def _counted(self, model: str, method: str) -> AsyncIterator[Turn]:
        turn, began, failed = Turn(self._room), time.perf_counter(), True
        try:
            yield turn
            failed = turn.refused
        finally:
            turn.end()
            self.figures.called(model, method, time.perf_counter() - began, failed=failed)

    @asynccontextmanager
    async def _told(self) -> AsyncIterator[None]:
        try:
            yield
        except Unavailable as error:
            self._report(error, self.open)
            raise
        except AnswerLostError as lost:
            self._report(lost.error, self.open)
            raise
        self._report(None, self.open)
