"""Schedules."""

from __future__ import annotations

from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import timestamp

from services.rule.schedules import CatchUp, Schedule, Timetable
from services.rule.wire.actions import draft_from, draft_pb
from services.rule.wire.errors import status_of
from services.rule.wire.times import given, time_pb


def timetable_from(message: pb.Schedule) -> Timetable:
    """Returns what a request wants a schedule to be."""
    return Timetable(
        message.cron,
        draft_from(message.event),
        message.time_zone,
        given(message, "start_time"),
        given(message, "end_time"),
        CatchUp(message.catch_up),
        message.enabled if message.HasField("enabled") else True,
        message.display_name,
    )


def schedule_pb(schedule: Schedule) -> pb.Schedule:
    """Returns a schedule as the API shows it."""
    timetable = schedule.timetable
    return pb.Schedule(
        name=schedule.name,
        uid=schedule.uid,
        create_time=timestamp(schedule.create_time),
        update_time=timestamp(schedule.update_time),
        etag=schedule.etag,
        display_name=timetable.display_name,
        cron=timetable.cron,
        time_zone=timetable.time_zone,
        event=draft_pb(timetable.event),
        start_time=time_pb(timetable.start_time),
        end_time=time_pb(timetable.end_time),
        catch_up=int(timetable.catch_up),  # type: ignore[arg-type]
        enabled=timetable.enabled,
        state=int(schedule.state),  # type: ignore[arg-type]
        next_fire_time=time_pb(schedule.next_tick),
        last_fire_time=time_pb(schedule.last_tick),
        last_event=schedule.last_event,
        last_error=status_of(schedule.last_error),
        principal=schedule.principal,
    )
