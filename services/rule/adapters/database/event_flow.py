"""The flow of events as watches read it: rows of events and executions, in the order of their numbers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message
from sutler.filtering import parse
from sutler.paging import fitting
from sutler.store import Database, Row, Transaction

from services.rule.adapters.database import marks, schemas
from services.rule.adapters.database.ordering import SEQUENCE
from services.rule.adapters.database.rows import EVENT, EVENT_FULL, EXECUTION, event_from, execution_from
from services.rule.adapters.database.watched import Told, entries
from services.rule.events import Event
from services.rule.executions import Execution
from services.rule.watching import EventChange, EventKind, told_of

MAX_READ = 200
"""How many numbers are read at once."""

_BODY = "COALESCE(LENGTH(data), 0) + COALESCE(LENGTH(binary_data), 0) + LENGTH(extra)"
_EVENT_CHANGES = (
    (EventKind.ACCEPTED, "events", "seq", "name", "0"),
    (EventKind.ENDED, "events", "end_change", "name", "0"),
    (EventKind.CASCADE_ENDED, "events", "cascade_change", "name", "0"),
)
_EXECUTION_CHANGES = ((EventKind.EXECUTION, "executions", "change", "event", "seq"),)


@dataclass(frozen=True, slots=True)
class EventFlow:
    """The flow of events of a tenant, as a watch sees it; see :class:`sutler.tails.Log`.

    Attributes:
        database: Where it is.
        tenant: Whose events.
        filter: Which events.
        executions: Whether changes of executions are told.
        full: Whether data and context are told.
        make: Makes the message of a change.
    """

    database: Database
    tenant: str
    filter: str
    executions: bool
    full: bool
    make: Callable[[EventChange], Message]

    @property
    def identity(self) -> tuple[Any, ...]:
        """Says which log it is, and how it is seen."""
        return "events", self.tenant, self.filter, self.executions, self.full

    def size(self, change: Told) -> int:
        """Returns how many bytes a change takes in a message."""
        return change.size

    async def bounds(self) -> tuple[int, int]:
        """Returns the position before the oldest kept entry, and that of the newest one."""
        logs = (marks.EVENTS, marks.EXECUTIONS) if self.executions else (marks.EVENTS,)
        return await self.database.read(lambda tx: marks.bounds(tx, self.tenant, logs, SEQUENCE))

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, Told]]:
        """Returns entries after a position, in order, not more than go into one message, but one if there is one."""
        found = await self.database.read(lambda tx: self._read(tx, position, min(limit, MAX_READ)))
        return entries([Told.of(number, [self.make(change) for change in changes]) for number, changes in found])

    def _read(self, tx: Transaction, position: int, limit: int) -> list[tuple[int, list[EventChange]]]:
        places = self._places(tx, position, limit)
        if not places:
            return []
        wanted = self._wanted(tx, places)
        places = [place for place in places if place[2] in wanted or place is places[-1]]
        weights = self._execution_weights(tx, [place[3] for place in places])
        sizes = (
            weights[execution] + (wanted.get(name, 0) if kind == EventKind.ACCEPTED else 0)
            for _, kind, name, execution in places
        )
        places = places[: fitting(sizes)]
        whole = {name for _, kind, name, _ in places if self.full and kind == EventKind.ACCEPTED and name in wanted}
        events = self._events(tx, EVENT, [name for _, _, name, _ in places if name in wanted and name not in whole])
        events |= self._events(tx, EVENT_FULL, whole)
        executions = self._executions(tx, [execution for _, _, name, execution in places if name in wanted])
        return [(place[0], _changes(place, events.get(place[2]), executions)) for place in places]

    def _places(self, tx: Transaction, position: int, limit: int) -> list[Row]:
        """Returns number, kind, event and execution of what comes next."""
        sources = (*_EVENT_CHANGES, *(_EXECUTION_CHANGES if self.executions else ()))
        parts = [
            f"SELECT * FROM (SELECT {number} AS number, {int(kind)} AS kind, {event} AS event, {execution} AS execution"
            f" FROM {table} WHERE tenant = ? AND {number} > ? ORDER BY {number} LIMIT ?) AS {number}_changes"
            for kind, table, number, event, execution in sources
        ]
        sql = f"{' UNION ALL '.join(parts)} ORDER BY number LIMIT ?"
        return tx.all(sql, (*(self.tenant, position, limit) * len(parts), limit))

    def _wanted(self, tx: Transaction, places: Sequence[Row]) -> dict[str, int]:
        """Returns those events that pass the filter, with the length of what is shown of them."""
        names = list(dict.fromkeys(place[2] for place in places))
        condition, values = parse(self.filter, schemas.EVENTS).sql(tx.dialect)
        length = f"LENGTH(extensions) + {_BODY}" if self.full else "LENGTH(extensions)"
        rows = tx.all(
            f"SELECT name, {length} FROM events WHERE tenant = ? AND name IN ({_marks(names)}) AND ({condition})",
            (self.tenant, *names, *values),
        )
        return dict(rows)

    def _execution_weights(self, tx: Transaction, seqs: Sequence[int]) -> dict[int, int]:
        rows = tx.all(
            f"SELECT seq, LENGTH(conditions) + LENGTH(steps) FROM executions WHERE seq IN ({_marks(seqs)})", seqs
        )
        return defaultdict(int, rows)

    def _events(self, tx: Transaction, columns: str, names: Sequence[str] | set[str]) -> dict[str, tuple[Event, bool]]:
        """Returns events by their names, each with whether it ended when it was accepted."""
        if not names:
            return {}
        rows = tx.all(
            "SELECT CASE WHEN end_time IS NOT NULL AND end_change IS NULL THEN 1 ELSE 0 END,"
            f" {columns} FROM events WHERE tenant = ? AND name IN ({_marks(names)})",
            (self.tenant, *names),
        )
        return {event.name: (event, bool(at_once)) for at_once, *row in rows for event in (event_from(row),)}

    def _executions(self, tx: Transaction, seqs: Sequence[int]) -> dict[int, Execution]:
        if not any(seqs):
            return {}
        rows = tx.all(f"SELECT {EXECUTION} FROM executions WHERE seq IN ({_marks(seqs)})", seqs)
        return {execution.seq: execution for execution in map(execution_from, rows)}


def _changes(place: Row, found: tuple[Event, bool] | None, executions: dict[int, Execution]) -> list[EventChange]:
    _, kind, _, seq = place
    if found is None:
        return []
    event, at_once = found
    if kind != EventKind.EXECUTION:
        return told_of(EventKind(kind), event, at_once=at_once)
    execution = executions.get(seq)
    return [] if execution is None else [EventChange(EventKind.EXECUTION, execution.update_time, event, execution)]


def _marks(values: Sequence[Any] | set[str]) -> str:
    return ", ".join("?" * len(values))
