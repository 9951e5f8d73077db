"""The RPCs about schedules."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler import masks
from sutler.context import current
from sutler.field_values import clear_output_only
from sutler.interceptors.idempotency import once
from sutler.rule.v1 import rule_pb2 as pb

from services.rule.schedules import Schedule, Timetable
from services.rule.servicer.parts import Rpcs, author
from services.rule.wire.schedules import schedule_pb, timetable_from


class ScheduleRpcs(Rpcs):
    """RPCs about schedules."""

    async def GetSchedule(self, request: pb.GetScheduleRequest, context: Any) -> pb.Schedule:
        return schedule_pb(await self._parts.schedule_store.get(current().tenant, request.name))

    async def ListSchedules(self, request: pb.ListSchedulesRequest, context: Any) -> pb.ListSchedulesResponse:
        found = await self._parts.reading.schedules(current().tenant, self._parts.query("ListSchedules", request))
        messages = [schedule_pb(schedule) for schedule in found.items]
        schedules, token = self._parts.page("ListSchedules", request, found, messages)
        return pb.ListSchedulesResponse(schedules=schedules, next_page_token=token)

    async def CreateSchedule(self, request: pb.CreateScheduleRequest, context: Any) -> pb.Schedule:
        clear_output_only(request.schedule)
        schedule = await self._parts.schedules.create(
            current().tenant,
            author(),
            request.schedule_id,
            timetable_from(request.schedule),
            once(schedule_pb),
            dry=request.validate_only,
        )
        return schedule_pb(schedule)

    async def UpdateSchedule(self, request: pb.UpdateScheduleRequest, context: Any) -> pb.Schedule:
        clear_output_only(request.schedule)
        mask = request.update_mask if request.HasField("update_mask") else None

        def merge(stored: Schedule | None) -> Timetable:
            before = schedule_pb(stored) if stored else pb.Schedule(name=request.schedule.name)
            request.schedule.name = before.name
            return timetable_from(masks.merge(before, request.schedule, mask, below="schedule"))

        schedule = await self._parts.schedules.update(
            current().tenant,
            author(),
            request.schedule.name,
            merge,
            request.schedule.etag,
            once(schedule_pb),
            allow_missing=request.allow_missing,
            dry=request.validate_only,
        )
        return schedule_pb(schedule)

    async def DeleteSchedule(self, request: pb.DeleteScheduleRequest, context: Any) -> Empty:
        await self._parts.schedules.delete(
            current().tenant,
            request.name,
            request.etag,
            once(lambda _: Empty()),
            allow_missing=request.allow_missing,
            dry=request.validate_only,
        )
        return Empty()
