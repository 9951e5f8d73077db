"""What is kept beside the caches: counts, runs of VerifyCache, events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sutler.errors import SutlerError
from sutler.events import Event
from sutler.idempotency import Once
from sutler.operations import Operation, State

from services.cache.caches import Cache
from services.cache.counting import Count, Counted
from services.cache.gauges import Gauge
from services.cache.problems import Report, Run


class Tallies(Protocol):
    """What all processes count, and what goes on in them.

    Every method raises Unavailable if the store does not answer.
    """

    async def report(self, process: str, counted: Counted, gauges: Mapping[int, Gauge]) -> None:
        """Adds what a process counted since its last report, and says what goes on in it now, by number of cache."""
        ...

    async def read(self, space: int) -> tuple[Mapping[Count, int], Gauge]:
        """Returns the counters of a cache, and what goes on in it in all processes that reported within 5 s."""
        ...


class Verifications(Protocol):
    """Runs of VerifyCache, as operations. Every method raises Unavailable if the store does not answer."""

    async def begin(self, cache: Cache, creator: str, run: Run, once: Once | None) -> Operation:
        """Stores a new run.

        Raises:
            Conflict: If another one verifies the cache (OPERATION_IN_PROGRESS).
        """
        ...

    async def save(self, operation: Operation, run: Run, percent: int, step: str) -> None:
        """Notes how far a run is.

        Raises:
            Conflict: If another process goes on with it (LEASE_LOST).
        """
        ...

    async def end(
        self, operation: Operation, state: State, *, report: Report | None = None, error: SutlerError | None = None
    ) -> None:
        """Ends a run: with a report, with an error, or with neither if it was cancelled. Raises as :meth:`save`."""
        ...


class Outbox(Protocol):
    """Where events wait to be told."""

    async def post(self, event: Event) -> None:
        """Stores an event behind those that wait. Raises Unavailable if the store does not answer."""
        ...
