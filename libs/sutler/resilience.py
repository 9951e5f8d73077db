"""Calls to things that may fail: retry within a deadline, breaker, bulkhead, rate limit.

Retries are tenacity's and the rate limit is aiolimiter's. The breaker is ours: of the kept libraries none lets exactly
one probe through when it half-opens.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from enum import Enum
from typing import TypeVar

import tenacity
from aiolimiter import AsyncLimiter

from sutler.context import current
from sutler.errors import Exhausted, SutlerError, Unavailable

T = TypeVar("T")

MIN_DELAY_SECONDS = 0.1
MAX_DELAY_SECONDS = 5.0


async def retry(
    call: Callable[[], Awaitable[T]],
    *,
    attempts: int = 4,
    seconds: float | None = None,
    patience: float = math.inf,
    on: type[SutlerError] | tuple[type[SutlerError], ...] = Unavailable,
) -> T:
    """Calls until it succeeds, at most ``attempts`` times, never past the deadline.

    Between attempts it waits a random time from 0 to 0.1 s, doubling up to 5 s, or the error's ``retry_after`` if that
    is longer. It gives up early if the wait would end after the deadline. Only for calls that are safe to repeat.

    Args:
        call: What to do.
        attempts: How often in all.
        seconds: The deadline from now; that of the current call if None.
        patience: The most seconds to wait that an error may ask for; one that asks for more is the last.
        on: Which errors make another attempt worth while.

    Raises:
        SutlerError: The last error.
    """
    ends = time.monotonic() + seconds if seconds is not None else current().deadline
    backoff = tenacity.wait_random_exponential(multiplier=MIN_DELAY_SECONDS, max=MAX_DELAY_SECONDS)

    def wait(state: tenacity.RetryCallState) -> float:
        return max(backoff(state), _asked(state))

    def stop(state: tenacity.RetryCallState) -> bool:
        late = ends is not None and time.monotonic() + state.upcoming_sleep >= ends
        return state.attempt_number >= attempts or late or _asked(state) > patience

    async def attempt() -> T:
        return await call()

    retrying = tenacity.AsyncRetrying(retry=tenacity.retry_if_exception_type(on), stop=stop, wait=wait, reraise=True)
    return await retrying(attempt)


def _asked(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    delay = error.retry_after if isinstance(error, SutlerError) else None
    return delay.total_seconds() if delay else 0.0


class BreakerState(Enum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half open"


class Breaker:
    """Stops calling what keeps failing.

    More than ``failures`` failed calls within ``window`` seconds open it. Open, it refuses without calling. After
    ``pause`` seconds exactly one call, the probe, goes through: its success closes the breaker, its failure opens it
    again; a probe that is cancelled decides nothing, and the next call is the probe.

    Args:
        name: What is called, for the error.
        failures: How many failures are borne.
        window: Over how many seconds they are counted.
        pause: How many seconds it stays open.
        clock: Gives seconds; for tests.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 5,
        window: float = 60.0,
        pause: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._allowed = failures
        self._window = window
        self._pause = pause
        self._clock = clock
        self._failed: deque[float] = deque()
        self._opened: float | None = None
        self._probing = False

    @property
    def state(self) -> BreakerState:
        """Where it stands."""
        if self._opened is None:
            return BreakerState.CLOSED
        due = self._clock() - self._opened >= self._pause
        return BreakerState.HALF_OPEN if due else BreakerState.OPEN

    @asynccontextmanager
    async def guard(self, *counted: type[BaseException]) -> AsyncIterator[None]:
        """Lets the block run, or refuses it, and learns from how it ends.

        Args:
            *counted: The errors that count as failures; :class:`~sutler.errors.Unavailable` and TimeoutError if none.

        Raises:
            Unavailable: If the breaker is open; ``retry_after`` says for how long.
        """
        failures = counted or (Unavailable, TimeoutError)
        probe = self._admit()
        try:
            yield
        except failures:
            self._fail(probe=probe)
            raise
        except Exception:
            self._succeed(probe=probe)
            raise
        except BaseException:
            self._probing = self._probing and not probe
            raise
        else:
            self._succeed(probe=probe)

    def _admit(self) -> bool:
        """Returns whether the call is the probe."""
        state = self.state
        if state is BreakerState.CLOSED:
            return False
        if state is BreakerState.HALF_OPEN and not self._probing:
            self._probing = True
            return True
        assert self._opened is not None
        left = max(0.0, self._opened + self._pause - self._clock())
        raise Unavailable(
            f"{self._name} has failed too often and is left alone for a while",
            metadata={"dependency": self._name},
            retry_after=timedelta(seconds=left or MIN_DELAY_SECONDS),
        )

    def _fail(self, *, probe: bool) -> None:
        now = self._clock()
        if probe:
            self._opened, self._probing = now, False
            return
        if self._opened is not None:  # a call from before it opened
            return
        self._failed.append(now)
        while self._failed[0] <= now - self._window:
            self._failed.popleft()
        if len(self._failed) > self._allowed:
            self._opened = now
            self._failed.clear()

    def _succeed(self, *, probe: bool) -> None:
        if probe:
            self._opened, self._probing = None, False


class Bulkhead:
    """Bounds how many calls run at once, and how long others wait for a place.

    Args:
        name: What is called, for the error.
        limit: How many at once.
        max_wait: Seconds that a call waits at the most.
    """

    def __init__(self, name: str, *, limit: int, max_wait: float) -> None:
        self._name = name
        self._places = asyncio.Semaphore(limit)
        self._max_wait = max_wait

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Holds a place while the block runs.

        Raises:
            Exhausted: If none came free in time.
        """
        try:
            async with asyncio.timeout(self._max_wait):
                await self._places.acquire()
        except TimeoutError as error:
            raise Exhausted(
                f"all places for calls to {self._name} are taken; try again later",
                metadata={"queue": self._name},
                retry_after=timedelta(seconds=self._max_wait),
            ) from error
        try:
            yield
        finally:
            self._places.release()


class RateLimit:
    """Bounds how many calls are made in a time; a leaky bucket.

    Args:
        name: What is called, for the error.
        rate: How many calls.
        seconds: In how many seconds.
        max_wait: Seconds that a call waits for its turn at the most.
    """

    def __init__(self, name: str, *, rate: float, seconds: float = 1.0, max_wait: float = 0.0) -> None:
        self._name = name
        # The limiter's bucket must hold one call at least.
        self._limiter = AsyncLimiter(max(rate, 1.0), seconds * max(1.0, 1.0 / rate))
        self._spacing = seconds / rate
        self._text = f"{rate:g} in {seconds:g} s"
        self._max_wait = max_wait

    async def turn(self) -> None:
        """Returns when a call may be made.

        Raises:
            Exhausted: If that is not within ``max_wait``.
        """
        if self._limiter.has_capacity():
            await self._limiter.acquire()
            return
        try:
            async with asyncio.timeout(self._max_wait):
                await self._limiter.acquire()
        except TimeoutError as error:
            raise Exhausted(
                f"more than {self._text} calls to {self._name}",
                reason="RATE_LIMITED",
                metadata={"limit": self._text},
                retry_after=timedelta(seconds=self._spacing),
            ) from error
