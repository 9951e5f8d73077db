"""Writes schedules: checks when they fire, what they publish, and that their authors may publish it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sutler.auth import authorize, encode_principal
from sutler.context import Principal
from sutler.errors import AlreadyExists, Conflict, NotFound, Violation
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.ids import new_id

from services.rule.cron import cron_faults, zone_faults
from services.rule.faults import Fault, refuse
from services.rule.programs import compile_fields
from services.rule.rights import check_rights
from services.rule.schedules import Schedule, ScheduleStore, Timetable, taken
from services.rule.variables import TICKS

CREATE = "rule.schedules.create"
MAX_RACES = 10
"""How often an update begins again because another one was faster."""


class Schedules:
    """Writes schedules.

    Args:
        store: Where they are stored.
        clock: Gives epoch seconds.
        changed: Called after every change, for whoever fires them.
    """

    def __init__(self, store: ScheduleStore, clock: Callable[[], float], changed: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._changed = changed

    async def create(
        self, tenant: str, author: Principal, id_: str, timetable: Timetable, once: Once | None, *, dry: bool
    ) -> Schedule:
        """Stores a new schedule; with ``dry`` only checks and returns the would-be schedule.

        Raises:
            AlreadyExists: If the name is taken, also in other letter case.
            Invalid: If it cannot be read, or never fires.
            PermissionDenied: If the author may not publish.
        """
        check(timetable, author)
        schedule = Schedule(f"schedules/{id_}", tenant, new_id(), timetable, encode_principal(author))
        schedule = schedule.planned(timetable.after(self._clock()))
        if dry:
            await self._refuse_taken(tenant, schedule.name)
            return schedule
        stored = await self._store.create(schedule, once)
        self._changed()
        return stored

    async def update(
        self,
        tenant: str,
        author: Principal,
        name: str,
        merge: Callable[[Schedule | None], Timetable],
        etag: str,
        once: Once | None,
        *,
        allow_missing: bool,
        dry: bool,
    ) -> Schedule:
        """Changes a schedule to what ``merge`` makes of it, or creates it with ``allow_missing``.

        Raises:
            NotFound: If there is none of that name.
            Conflict: If ``etag`` is not the current one.
            PermissionDenied: If it would be created, and the author may not do that.
            SutlerError: As :meth:`create`.
        """
        for race in range(MAX_RACES):
            try:
                stored = await self._store.get(tenant, name)
            except NotFound:
                if not allow_missing:
                    raise
                authorize(author, CREATE, [name])
                try:
                    return await self.create(
                        tenant, author, name.removeprefix("schedules/"), merge(None), once, dry=dry
                    )
                except AlreadyExists:
                    continue
            check_etag(etag, stored.etag, stored.name)
            wanted, replan = self._wanted(stored, merge(stored), author)
            if dry:
                return wanted
            try:
                updated = await self._store.update(wanted, once, replan=replan)
            except Conflict:
                if etag or race == MAX_RACES - 1:
                    raise
            else:
                self._changed()
                return updated
        raise taken(name)

    async def delete(
        self, tenant: str, name: str, etag: str, once: Once | None, *, allow_missing: bool, dry: bool
    ) -> None:
        """Deletes a schedule; what it has published goes on.

        Raises:
            NotFound: If there is none of that name, unless ``allow_missing``.
            Conflict: If ``etag`` is not the current one.
        """
        try:
            if dry:
                check_etag(etag, (await self._store.get(tenant, name)).etag, name)
            else:
                await self._store.delete(tenant, name, etag, once)
        except NotFound:
            if not allow_missing:
                raise
            if not dry:
                await self._store.deleted_already(once)

    def _wanted(self, stored: Schedule, timetable: Timetable, author: Principal) -> tuple[Schedule, bool]:
        """Returns what a schedule becomes, and whether its next tick is planned anew; its title alone changes nothing.

        Who only pauses it or lets it go on is not its author.
        """
        schedule = replace(stored, timetable=timetable)
        if timetable.acts_as(stored.timetable):
            return schedule, False
        check(timetable, author)
        if not timetable.acts_as(replace(stored.timetable, enabled=timetable.enabled)):
            schedule = replace(schedule, author=encode_principal(author))
        return replace(schedule, last_error=None).planned(timetable.after(self._clock())), True

    async def _refuse_taken(self, tenant: str, name: str) -> None:
        try:
            await self._store.get(tenant, name)
        except NotFound:
            return
        raise taken(name)


def check(timetable: Timetable, author: Principal) -> None:
    """Checks when a schedule fires and what it publishes, and that its author may publish that.

    Raises:
        Invalid: If it cannot be read, or never fires.
        PermissionDenied: If the author may not publish.
    """
    faults: list[Violation] = []
    if timetable.cron:
        faults += cron_faults(timetable.cron, "cron")
    faults += zone_faults(timetable.time_zone, "time_zone")
    compile_fields(timetable.event, "event", TICKS, faults)
    missing = {"cron": timetable.cron, "event.type": timetable.event.type}
    faults += [Fault(name, "must not be empty", "FIELD_INVALID") for name, value in missing.items() if not value]
    start, end = timetable.start_time, timetable.end_time
    if start is not None and end is not None and start >= end:
        faults.append(Fault("end_time", "must be later than start_time", "FIELD_INVALID"))
    refuse(faults, "schedule")
    check_rights(author, timetable.event)
