"""Schedules in the database: written by callers, moved on by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import TypeAdapter
from sutler.errors import etag_mismatch, not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.store import Database, Transaction
from sutler.store.requests import remember

from services.rule.adapters.database.accepting import Acceptor
from services.rule.definitions import EmitEvent
from services.rule.events import Cause
from services.rule.failures import Failure, from_error
from services.rule.firing import Firing
from services.rule.outcomes import Aftermath, Claim
from services.rule.schedules import CatchUp, Due, Schedule, Timetable, taken

SCHEDULE = (
    "name, tenant, uid, cron, event, time_zone, start_time, end_time, catch_up, enabled, display_name, author, "
    "version, create_time, update_time, next_fire_time, due_time, last_fire_time, last_event, last_error"
)

_EVENT = TypeAdapter(EmitEvent)
_FAILURE = TypeAdapter(Failure)


def schedule_from(row: Sequence[Any]) -> Schedule:
    """Returns the schedule in a row of :data:`SCHEDULE`."""
    wanted = (row[3], _EVENT.validate_json(row[4]), *row[5:8], CatchUp(row[8]), bool(row[9]), row[10])
    error = None if row[19] is None else _FAILURE.validate_json(row[19])
    values = (*row[:3], Timetable(*wanted), *row[11:19], error)
    return Schedule(*values)


def find(tx: Transaction, tenant: str, name: str) -> Schedule:
    """Returns a schedule, whatever the letter case of its name. Raises NotFound."""
    row = tx.one(f"SELECT {SCHEDULE} FROM schedules WHERE tenant = ? AND key = ?", (tenant, name.lower()))
    if row is None:
        raise not_found(name)
    return schedule_from(row)


class DatabaseSchedules:
    """Stores and fires schedules.

    See :class:`services.rule.schedules.ScheduleStore` and :class:`services.rule.firing.Firings`.

    Args:
        database: Where they are stored.
        acceptor: Accepts what they publish.
    """

    def __init__(self, database: Database, acceptor: Acceptor) -> None:
        self._database = database
        self._acceptor = acceptor

    async def get(self, tenant: str, name: str) -> Schedule:
        """Returns a schedule."""
        return await self._database.read(lambda tx: find(tx, tenant, name))

    async def create(self, schedule: Schedule, once: Once | None) -> Schedule:
        """Stores a new schedule."""

        def change(tx: Transaction) -> Schedule:
            stored = replace(schedule, create_time=tx.now, update_time=tx.now)
            stored = stored.planned(schedule.timetable.after(tx.now))
            row = _row(stored)
            added = tx.execute(
                f"INSERT INTO schedules (key, {', '.join(row)}) VALUES (?{', ?' * len(row)})"
                " ON CONFLICT (tenant, key) DO NOTHING",
                (schedule.name.lower(), *row.values()),
            )
            if not added:
                raise taken(schedule.name)
            remember(tx, once, stored)
            return stored

        return await self._database.write(change)

    async def update(self, schedule: Schedule, once: Once | None, *, replan: bool) -> Schedule:
        """Stores a changed schedule; what the clock has done to it meanwhile stays."""

        def change(tx: Transaction) -> Schedule:
            before = find(tx, schedule.tenant, schedule.name)
            if (before.uid, before.version) != (schedule.uid, schedule.version):
                raise etag_mismatch(before.name)
            stored = replace(before, timetable=schedule.timetable, author=schedule.author)
            if replan:
                stored = replace(stored.planned(schedule.timetable.after(tx.now)), last_error=None)
            if _row(stored) != _row(before):
                stored = replace(stored, version=before.version + 1, update_time=tx.now)
                _save(tx, stored)
            remember(tx, once, stored)
            return stored

        return await self._database.write(change)

    async def delete(self, tenant: str, name: str, etag: str, once: Once | None) -> None:
        """Deletes a schedule."""

        def change(tx: Transaction) -> None:
            schedule = find(tx, tenant, name)
            check_etag(etag, schedule.etag, schedule.name)
            tx.execute("DELETE FROM schedules WHERE uid = ?", (schedule.uid,))
            remember(tx, once, None)

        await self._database.write(change)

    async def deleted_already(self, once: Once | None) -> None:
        """Remembers the answer to a deletion of a schedule that does not exist."""
        if once is not None:
            await self._database.write(lambda tx: remember(tx, once, None))

    async def due(self, limit: int) -> Due:
        """Returns schedules that are due."""

        def read(tx: Transaction) -> Due:
            first = tx.one("SELECT MIN(due_time) FROM schedules WHERE due_time IS NOT NULL")
            due_time = first[0] if first is not None else None
            if due_time is None or due_time > tx.now:
                return Due(tx.now, (), due_time)
            rows = tx.all(
                f"SELECT {SCHEDULE} FROM schedules WHERE due_time <= ? ORDER BY due_time LIMIT ?", (tx.now, limit)
            )
            return Due(tx.now, [schedule_from(row) for row in rows], due_time)

        return await self._database.read(read)

    async def fire(self, firings: Sequence[Firing], claim: Claim) -> tuple[int, Aftermath]:
        """Publishes what schedules say and moves them on, unless another process has, or a caller changed them."""

        def change(tx: Transaction) -> tuple[int, Aftermath]:
            published, total = 0, Aftermath()
            for firing in firings:
                if not _as_read(tx, firing.schedule):
                    continue
                after, aftermath = self._publish(tx, firing, Claim(claim.holder, claim.room - len(total.jobs)))
                _save(tx, after)
                published += after.last_event != firing.schedule.last_event
                total = Aftermath(
                    total.jobs + aftermath.jobs, total.ended + aftermath.ended, total.begun + aftermath.begun
                )
            return published, total

        return await self._database.write(change)

    def _publish(self, tx: Transaction, firing: Firing, claim: Claim) -> tuple[Schedule, Aftermath]:
        if firing.failure is not None:
            return firing.failed(firing.failure, tx.now), Aftermath()
        if firing.content is None:
            return firing.fired(""), Aftermath()
        schedule = firing.schedule
        cause = Cause(schedule.principal, firing.content.id)
        accepted = self._acceptor.accept(tx, schedule.tenant, [firing.content], cause, claim)
        (result,) = accepted.results
        if result.error is not None:
            return firing.failed(from_error(result.error), tx.now), Aftermath()
        return firing.fired(result.name), accepted.aftermath


def _as_read(tx: Transaction, schedule: Schedule) -> bool:
    """Returns whether neither the clock nor a caller has changed a schedule since it was read."""
    row = tx.one(
        "SELECT 1 FROM schedules WHERE uid = ? AND version = ? AND next_fire_time = ? AND due_time = ?",
        (schedule.uid, schedule.version, schedule.next_tick, schedule.due_time),
    )
    return row is not None


def _save(tx: Transaction, schedule: Schedule) -> None:
    row = _row(schedule)
    tx.execute(
        f"UPDATE schedules SET {', '.join(f'{name} = ?' for name in row)} WHERE uid = ?",
        (*row.values(), schedule.uid),
    )


def _row(schedule: Schedule) -> dict[str, Any]:
    """Returns all columns of a schedule but its key."""
    timetable = schedule.timetable
    return {
        "name": schedule.name,
        "tenant": schedule.tenant,
        "uid": schedule.uid,
        "version": schedule.version,
        "create_time": schedule.create_time,
        "update_time": schedule.update_time,
        "display_name": timetable.display_name,
        "cron": timetable.cron,
        "time_zone": timetable.time_zone,
        "event": _EVENT.dump_json(timetable.event).decode(),
        "start_time": timetable.start_time,
        "end_time": timetable.end_time,
        "catch_up": int(timetable.catch_up),
        "enabled": int(timetable.enabled),
        "state": int(schedule.state),
        "author": schedule.author,
        "principal": schedule.principal,
        "next_fire_time": schedule.next_tick,
        "due_time": schedule.due_time,
        "last_fire_time": schedule.last_tick,
        "last_event": schedule.last_event,
        "last_error": None if schedule.last_error is None else _FAILURE.dump_json(schedule.last_error).decode(),
    }
