"""What is to be done with a schedule whose ticks have passed, and what becomes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sutler.errors import SutlerError
from sutler.expressions import EvaluationFailed
from sutler.ids import derive

from services.rule.emissions import check, fill
from services.rule.events import SOURCE, Content
from services.rule.failures import Failure, Kind, from_error
from services.rule.programs import CompiledAction, compile_fields
from services.rule.schedules import CatchUp, Schedule, Timetable
from services.rule.sight import check_size, expression_failed
from services.rule.variables import TICKS

RETRY_SECONDS = 5.0
MAX_RETRY_SECONDS = 60.0
"""After how long a tick that could not publish is tried again: the longer it has been tried, the later."""

MAX_CAUGHT_UP = 1000
"""How many of the ticks that have passed fire where all do."""

LATE_SECONDS = 10.0
"""From when on a tick counts as one that passed while no server ran."""


@dataclass(frozen=True, slots=True)
class Firing:
    """What is to be done with a schedule that is due.

    Attributes:
        schedule: As it was read.
        tick: The tick that fires; None if none does.
        following: The next tick after it.
        content: What it publishes; None if nothing.
        failure: Why it cannot publish.
    """

    schedule: Schedule
    tick: float | None
    following: float | None
    content: Content | None = None
    failure: Failure | None = None

    def fired(self, event: str) -> Schedule:
        """Returns the schedule after its event was published; without one, after its ticks were left out."""
        schedule = self.schedule.planned(self.following)
        if self.tick is None:
            return schedule
        return replace(schedule, last_tick=self.tick, last_event=event, last_error=None)

    def failed(self, failure: Failure, now: float) -> Schedule:
        """Returns the schedule after its event could not be published: to be tried again until the next tick.

        Where all ticks are caught up with, the next one may have passed too; then this one is tried again only if that
        can help.
        """
        assert self.tick is not None
        schedule = replace(self.schedule, next_tick=self.tick, last_error=failure)
        if self.following is not None and self.following <= now and failure.kind is not Kind.PATIENT:
            return schedule.planned(self.following)
        again = now + min(max(RETRY_SECONDS, now - self.tick), MAX_RETRY_SECONDS)
        upcoming = self.following if self.following is not None and self.following > now else again
        return replace(schedule, due_time=min(again, upcoming))


def plan(schedule: Schedule, now: float) -> Firing:
    """Returns what is to be done with a schedule that is due."""
    timetable, first = schedule.timetable, schedule.next_tick
    assert first is not None and schedule.due_time is not None
    tick = _tick(timetable, first, now)
    if tick is None:  # its time zone has other rules than when the tick was planned
        return Firing(schedule, None, timetable.after(now))
    tried = tick == first and schedule.due_time > first
    if timetable.catch_up is CatchUp.NONE and now - tick > LATE_SECONDS and not tried:
        return Firing(schedule, None, timetable.after(now))
    firing = Firing(schedule, tick, timetable.after(tick))
    try:
        return replace(firing, content=publication(schedule, tick, now))
    except SutlerError as error:
        return replace(firing, failure=from_error(error))


def publication(schedule: Schedule, tick: float, now: float) -> Content:
    """Returns what a schedule publishes for a tick.

    Raises:
        FailedPrecondition: If an expression fails.
        Invalid: If what was filled in is too large (TOO_LARGE), or breaks a rule for events (TEMPLATE_INVALID).
    """
    draft = schedule.timetable.event
    action = CompiledAction("", draft, compile_fields(draft, "event", TICKS, []), None)
    moment = datetime.fromtimestamp(tick, UTC)
    try:
        made = action.render(TICKS.bind({"tick": moment, "schedule": schedule.name}))
    except EvaluationFailed as error:
        raise expression_failed("event", error) from error
    assert isinstance(made, type(draft))
    check_size(made, schedule.name, {"schedule": schedule.name})
    content = fill(
        made,
        id_=derive(schedule.uid, f"ticks/{moment:%Y-%m-%dT%H:%M:%SZ}"),
        source=f"{SOURCE}/{schedule.name}",
        subject="",
        time=tick,
        now=now,
        inherited={},
    )
    check(content, schedule.name, {"schedule": schedule.name})
    return content


def _tick(timetable: Timetable, first: float, now: float) -> float | None:
    """Returns which of the ticks that have passed is next; ``first`` is the first of them."""
    every = timetable.catch_up is CatchUp.ALL
    if every and now - first < MAX_CAUGHT_UP:  # with a second at least from one to the next there cannot be more
        return first
    until = now if timetable.end_time is None else min(now, math.nextafter(timetable.end_time, -math.inf))
    passed = timetable.ticks.latest(first, until, MAX_CAUGHT_UP if every else 1)
    return passed[0] if passed else None
