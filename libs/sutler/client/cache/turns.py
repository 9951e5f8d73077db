"""What those get who look a value up: the value, or the task to compute it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum

from sutler.client.cache.leases import Policy
from sutler.client.cache.values import Found


class Outcome(Enum):
    """What a look-up came to."""

    HIT = "hit"
    STALE = "stale"
    MISS = "miss"
    ERROR = "error"


@dataclass(slots=True)
class Flight:
    """One computation in this process, and who waits for it.

    Attributes:
        key: Whose value.
        landed: Its value; None if those who wait are to ask the cache themselves.
        waiting: How many wait.
        computing: Whether the value is being computed, and not only asked for.
    """

    key: str
    landed: asyncio.Future[Found | None]
    waiting: int = 0
    computing: bool = False


@dataclass(slots=True)
class Turn:
    """The task to compute a value; ends with :meth:`Flights.finish` or :meth:`Flights.fail`.

    Attributes:
        key: Whose value.
        policy: The rules of the call.
        token: The lease; empty if there is none, and then the value is not put.
        stale: The expired value, to fall back on if computing fails.
        flight: Who waits for the value in this process; None if nobody can.
        claimed: Whether its caller has it; one that was gone before it came never will.
        heartbeat: What keeps the lease, and ends a turn that nobody claims.
    """

    key: str
    policy: Policy
    token: str = ""
    stale: Found | None = None
    flight: Flight | None = None
    claimed: bool = False
    heartbeat: asyncio.Task[None] | None = None

    @property
    def waited_for(self) -> bool:
        """Whether somebody in this process waits for the value now."""
        return self.flight is not None and self.flight.waiting > 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a caller got: a value, the task to compute one, or both, if the value is stale and to be renewed."""

    outcome: Outcome
    found: Found | None = None
    turn: Turn | None = None
