"""What becomes of ticks that have passed, that cannot publish, or that two processes see."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sutler.auth import encode_principal
from sutler.context import Principal
from sutler.errors import Conflict, Exhausted, FailedPrecondition, Invalid
from sutler.store import Database, open_database

from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.indexes import Indexes
from services.rule.adapters.database.migrations import COMPONENT, MIGRATIONS
from services.rule.adapters.database.schedules import DatabaseSchedules
from services.rule.definitions import EmitEvent
from services.rule.failures import from_error
from services.rule.firing import MAX_CAUGHT_UP, plan, publication
from services.rule.outcomes import Claim
from services.rule.schedule_authoring import Schedules
from services.rule.schedules import CatchUp, Schedule, ScheduleState, Timetable

NOON = datetime.fromisoformat("2026-01-01T12:00:00+00:00").timestamp()
HOUR = 3600.0
ANNA = Principal("user:anna", "t", ("*.*.*",))


class Clock:
    now = NOON - 60

    def __call__(self) -> float:
        return self.now


def timetable(**changes: Any) -> Timetable:
    return replace(Timetable("0 * * * *", EmitEvent("tick", data="${tick}", has_data=True)), **changes)


def schedule(next_tick: float = NOON, **changes: Any) -> Schedule:
    made = Schedule("schedules/s", "t", "uid", timetable(**changes), encode_principal(ANNA))
    return made.planned(next_tick)


def overloaded() -> Exhausted:
    return Exhausted("too much", reason="OVERLOADED")


@pytest.mark.parametrize(
    ("catch_up", "fires", "following"),
    [
        (CatchUp.UNSPECIFIED, NOON + 5 * HOUR, NOON + 6 * HOUR),
        (CatchUp.LATEST, NOON + 5 * HOUR, NOON + 6 * HOUR),
        (CatchUp.NONE, None, NOON + 6 * HOUR),
        (CatchUp.ALL, NOON, NOON + HOUR),
    ],
)
def test_ticks_that_passed_while_no_server_ran(catch_up: CatchUp, fires: float | None, following: float) -> None:
    firing = plan(schedule(catch_up=catch_up), NOON + 5 * HOUR + 600)
    assert (firing.tick, firing.following) == (fires, following)
    assert (firing.content is None) == (fires is None)


def test_a_tick_that_is_hardly_late_was_not_missed() -> None:
    assert plan(schedule(catch_up=CatchUp.NONE), NOON + 9).tick == NOON
    assert plan(schedule(catch_up=CatchUp.NONE), NOON + 11).tick is None


def test_of_very_many_ticks_the_latest_thousand_fire() -> None:
    now = NOON + 5000 * HOUR
    assert plan(schedule(catch_up=CatchUp.ALL), now).tick == now - (MAX_CAUGHT_UP - 1) * HOUR
    secondly = plan(schedule(cron="* * * * * *", catch_up=CatchUp.ALL), NOON + 86_400)
    assert secondly.tick == NOON + 86_400 - MAX_CAUGHT_UP + 1


def test_no_tick_at_or_after_the_end_is_caught_up_with() -> None:
    firing = plan(schedule(end_time=NOON + 2 * HOUR), NOON + 5 * HOUR)
    assert (firing.tick, firing.following) == (NOON + HOUR, None)
    ended = firing.fired("events/1")
    assert (ended.state, ended.next_tick, ended.last_tick) == (ScheduleState.ENDED, None, NOON + HOUR)


def test_starts_and_ends() -> None:
    starting = timetable(start_time=NOON + 90 * 60, end_time=NOON + 4 * HOUR)
    assert starting.after(NOON - HOUR) == NOON + 2 * HOUR
    assert starting.after(NOON + 2 * HOUR) == NOON + 3 * HOUR
    assert starting.after(NOON + 3 * HOUR) is None
    assert timetable(start_time=NOON).after(NOON - 86_400) == NOON
    assert timetable(enabled=False).after(NOON) is None


def test_what_fails_is_tried_again_until_the_next_tick() -> None:
    firing = plan(schedule(), NOON + 1)
    failed = firing.failed(from_error(overloaded()), NOON + 1)
    assert (failed.next_tick, failed.due_time, failed.last_tick) == (NOON, NOON + 6, None)
    assert failed.last_error is not None
    late = plan(failed, NOON + 30 * 60)
    assert late.tick == NOON
    assert late.failed(from_error(overloaded()), NOON + 30 * 60).due_time == NOON + 31 * 60
    assert late.failed(from_error(overloaded()), NOON + HOUR - 2).due_time == NOON + HOUR
    assert plan(failed, NOON + HOUR).tick == NOON + HOUR
    assert late.fired("events/1").last_error is None
    tried = replace(failed, timetable=timetable(catch_up=CatchUp.NONE))
    assert plan(tried, NOON + 60).tick == NOON  # a server ran, so it was not missed


def test_where_all_ticks_fire_only_what_can_never_publish_is_left_behind() -> None:
    firing = plan(schedule(catch_up=CatchUp.ALL), NOON + 5 * HOUR)
    patient = firing.failed(from_error(overloaded()), NOON + 5 * HOUR)
    assert (patient.next_tick, patient.due_time) == (NOON, NOON + 5 * HOUR + 60)
    final = firing.failed(from_error(Invalid("too large", reason="TOO_LARGE")), NOON + 5 * HOUR)
    assert (final.next_tick, final.due_time) == (NOON + HOUR, NOON + HOUR)


def test_the_event_of_a_tick_is_always_the_same() -> None:
    one, other = publication(schedule(), NOON, NOON + 1), publication(schedule(), NOON, NOON + 99)
    assert (one.id, one.source, one.time) == (other.id, "//rule.sutler.dev/schedules/s", NOON)
    assert (one.data, one.subject, one.deliver_time) == ("2026-01-01T12:00:00Z", "", None)
    assert publication(schedule(), NOON + HOUR, NOON).id != one.id
    assert publication(replace(schedule(), uid="other"), NOON, NOON).id != one.id
    later = publication(
        schedule(event=EmitEvent("x", "${schedule}", "s/${tick.getHours()}", delay=5.0)), NOON, NOON + 1
    )
    assert (later.source, later.subject, later.deliver_time) == ("schedules/s", "s/12", NOON + 6)


def test_a_template_that_fails_is_an_error_of_the_tick() -> None:
    failing = EmitEvent("x", data="${[1][tick.getHours()]}", has_data=True)
    with pytest.raises(FailedPrecondition) as caught:
        publication(schedule(event=failing), NOON, NOON)
    assert caught.value.reason == "EXPRESSION_FAILED"
    spaced = EmitEvent("a ${schedule}")
    with pytest.raises(Invalid) as refused:
        publication(schedule(event=spaced), NOON, NOON)
    assert (refused.value.reason, refused.value.metadata["schedule"]) == ("TEMPLATE_INVALID", "schedules/s")
    failure = plan(schedule(event=spaced), NOON).failure
    assert failure is not None and failure.reason == "TEMPLATE_INVALID"


@asynccontextmanager
async def stored(clock: Clock) -> AsyncIterator[tuple[Database, DatabaseSchedules, Schedules]]:
    tables = {COMPONENT: MIGRATIONS}
    async with open_database("sqlite:///:memory:", name="rule", migrations=tables, clock=clock) as database:
        store = DatabaseSchedules(database, Acceptor(Indexes(), 32))
        yield database, store, Schedules(store, database.now, lambda: None)


async def test_what_two_processes_see_at_once_fires_once() -> None:
    clock = Clock()
    async with stored(clock) as (database, store, schedules):
        await schedules.create("t", ANNA, "s", timetable(), None, dry=False)
        clock.now = NOON + 1
        due = await store.due(10)
        firings = [plan(one, due.now) for one in due.schedules]
        counts = await asyncio.gather(*(store.fire(firings, Claim()) for _ in range(3)))
        assert [count for count, _ in counts] == [1, 0, 0]
        assert await database.read(lambda tx: tx.all("SELECT COUNT(*) FROM events")) == [(1,)]
        after = await store.get("t", "schedules/S")
        assert (after.last_tick, after.next_tick, after.version) == (NOON, NOON + HOUR, 1)


async def test_what_a_caller_changes_meanwhile_does_not_fire() -> None:
    clock = Clock()
    async with stored(clock) as (database, store, schedules):
        await schedules.create("t", ANNA, "s", timetable(), None, dry=False)
        clock.now = NOON + 1
        firings = [plan(one, clock.now) for one in (await store.due(10)).schedules]

        def paused(_: Schedule | None) -> Timetable:
            return timetable(enabled=False)

        await schedules.update("t", ANNA, "schedules/s", paused, "", None, allow_missing=False, dry=False)
        assert (await store.fire(firings, Claim()))[0] == 0
        assert (await store.due(10)).next_time is None
        assert await database.read(lambda tx: tx.all("SELECT COUNT(*) FROM events")) == [(0,)]


async def test_ticks_before_a_change_are_not_looked_at_again_unless_only_the_title_changed() -> None:
    clock = Clock()
    async with stored(clock) as (_, _, schedules):
        await schedules.create("t", ANNA, "s", timetable(), None, dry=False)
        clock.now = NOON + 1

        async def change(**changes: Any) -> Schedule:
            def merge(before: Schedule | None) -> Timetable:
                assert before is not None
                return replace(before.timetable, **changes)

            bob = Principal("user:bob", "t", ("*.*.*",))
            return await schedules.update("t", bob, "schedules/s", merge, "", None, allow_missing=False, dry=False)

        titled = await change(display_name="Hourly")
        assert (titled.next_tick, titled.version, titled.principal) == (NOON, 2, "user:anna")
        event = timetable().event
        ones = await change(event=replace(event, data=1))
        assert (ones.next_tick, ones.version, ones.principal) == (NOON + HOUR, 3, "user:bob")
        truth = await change(event=replace(event, data=True))
        assert (truth.version, truth.timetable.event.data) == (4, True)
        same = await change(event=replace(event, data=True))
        assert same.version == 4


async def test_a_change_does_not_forget_what_has_fired_meanwhile() -> None:
    clock = Clock()
    async with stored(clock) as (_, store, schedules):
        made = await schedules.create("t", ANNA, "s", timetable(), None, dry=False)
        clock.now = NOON + 1
        await store.fire([plan(one, clock.now) for one in (await store.due(10)).schedules], Claim())
        titled = replace(made, timetable=replace(made.timetable, display_name="x"))
        after = await store.update(titled, None, replan=False)
        assert (after.last_tick, after.next_tick) == (NOON, NOON + HOUR)
        with pytest.raises(Conflict):
            await store.update(titled, None, replan=False)


async def test_an_event_of_somebody_else_with_the_same_id_is_told_as_the_error_of_the_tick() -> None:
    clock = Clock()
    async with stored(clock) as (_, store, schedules):
        made = await schedules.create("t", ANNA, "s", timetable(), None, dry=False)
        other = await schedules.create("t", ANNA, "o", timetable(), None, dry=False)
        clock.now = NOON
        firing = plan(made, NOON)
        assert firing.content is not None
        foreign = replace(firing.content, digest=b"another")
        assert (await store.fire([replace(plan(other, NOON), content=foreign)], Claim()))[0] == 1
        assert (await store.fire([firing], Claim()))[0] == 0
        after = await store.get("t", "schedules/s")
        assert after.last_error is not None and after.last_error.reason == "EVENT_ID_REUSED"
        assert (after.next_tick, after.last_event) == (NOON, "")
