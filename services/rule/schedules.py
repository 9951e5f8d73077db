"""Schedules: what is published when, and where they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Protocol

from sutler.auth import decode_principal
from sutler.errors import AlreadyExists
from sutler.etags import make_etag
from sutler.idempotency import Once

from services.rule.definitions import EmitEvent
from services.rule.failures import Failure
from services.rule.ticks import Ticks, ticks_of
from services.rule.values import same


class ScheduleState(IntEnum):
    """The life of a schedule, by the numbers of the contract."""

    ACTIVE = 1
    PAUSED = 2
    ENDED = 3


class CatchUp(IntEnum):
    """What happens to ticks that passed while no server ran, by the numbers of the contract."""

    UNSPECIFIED = 0
    NONE = 1
    LATEST = 2
    ALL = 3


@dataclass(frozen=True, slots=True)
class Timetable:
    """What a caller wants a schedule to be. Times are epoch seconds.

    Attributes:
        cron: When it fires.
        event: What it publishes.
        time_zone: That of ``cron``; UTC if empty.
        start_time: No tick before this fires.
        end_time: No tick at or after this fires.
        catch_up: What happens to ticks that were missed.
        enabled: Whether it fires.
        display_name: A title for people.
    """

    cron: str
    event: EmitEvent
    time_zone: str = ""
    start_time: float | None = None
    end_time: float | None = None
    catch_up: CatchUp = CatchUp.UNSPECIFIED
    enabled: bool = True
    display_name: str = ""

    @property
    def ticks(self) -> Ticks:
        """The ticks of ``cron``, whatever the other attributes say."""
        return ticks_of(self.cron, self.time_zone)

    def after(self, instant: float) -> float | None:
        """Returns the first tick that fires later than an instant; None if none does."""
        if not self.enabled:
            return None
        tick = self.ticks.after(instant)
        if self.start_time is not None and tick is not None and tick < self.start_time:
            tick = self.ticks.after(self.start_time - 0.001)
        return None if tick is None or not self.before_end(tick) else tick

    def before_end(self, tick: float) -> bool:
        """Returns whether a tick is not too late to fire."""
        return self.end_time is None or tick < self.end_time

    def acts_as(self, other: Timetable) -> bool:
        """Returns whether another one differs by no more than its title."""
        return (
            replace(other, display_name=self.display_name) == self
            and same(other.event.data, self.event.data)
            and same(dict(other.event.extra), dict(self.event.extra))
        )


@dataclass(frozen=True, slots=True)
class Schedule:
    """One schedule. Times are epoch seconds.

    Attributes:
        name: ``schedules/{schedule}``.
        tenant: Whose it is.
        uid: Tells it from an earlier one of the same name.
        timetable: What its author wants.
        author: Who wrote it, as :func:`sutler.auth.encode_principal` tells it.
        version: Counts the changes of callers; that it fires is none.
        create_time: When it was created.
        update_time: When a caller last changed it.
        next_tick: The next tick that is to fire; None if none is.
        due_time: When to look at that tick: later than it after a failure.
        last_tick: The latest tick that fired.
        last_event: The event that it published.
        last_error: Why the latest tick could not publish; None after a success.
    """

    name: str
    tenant: str
    uid: str
    timetable: Timetable
    author: str
    version: int = 1
    create_time: float = 0.0
    update_time: float = 0.0
    next_tick: float | None = None
    due_time: float | None = None
    last_tick: float | None = None
    last_event: str = ""
    last_error: Failure | None = None

    @property
    def etag(self) -> str:
        """Changes with every change of a caller."""
        return make_etag(self.uid, self.version)

    @property
    def state(self) -> ScheduleState:
        """Where it stands."""
        if not self.timetable.enabled:
            return ScheduleState.PAUSED
        return ScheduleState.ENDED if self.next_tick is None else ScheduleState.ACTIVE

    @property
    def principal(self) -> str:
        """The subject of its author."""
        return decode_principal(self.author).subject

    def planned(self, tick: float | None) -> Schedule:
        """Returns it with another next tick."""
        return replace(self, next_tick=tick, due_time=tick)


class ScheduleStore(Protocol):
    """Where schedules are stored, for those who write them."""

    async def get(self, tenant: str, name: str) -> Schedule:
        """Returns a schedule. Raises NotFound."""
        ...

    async def create(self, schedule: Schedule, once: Once | None) -> Schedule:
        """Stores a new schedule, with its first tick after that. Raises AlreadyExists."""
        ...

    async def update(self, schedule: Schedule, once: Once | None, *, replan: bool) -> Schedule:
        """Stores a changed schedule; with ``replan`` its next tick is the first after that.

        Raises:
            Conflict: If its version is not the stored one (ETAG_MISMATCH).
        """
        ...

    async def delete(self, tenant: str, name: str, etag: str, once: Once | None) -> None:
        """Deletes a schedule. Raises NotFound, and Conflict (ETAG_MISMATCH)."""
        ...

    async def deleted_already(self, once: Once | None) -> None:
        """Remembers the answer to a deletion of a schedule that does not exist."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """What there is to do for the clock.

    Attributes:
        now: The time of the store, in epoch seconds.
        schedules: Those that are due, the longest first; maybe not all.
        next_time: When the next one is due; None if none will be.
    """

    now: float
    schedules: Sequence[Schedule]
    next_time: float | None


def taken(name: str) -> AlreadyExists:
    """Returns the error for a name that a schedule has already."""
    return AlreadyExists(f"{name} exists already; choose another id, or update it", resource=name)
