"""Reads what the service shows: things by name, lists, and cascades."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sutler.errors import not_found
from sutler.filtering import Field, Kind
from sutler.paging import Order
from sutler.store import Database, Transaction

from services.rule.adapters.database import breakers, letters, schemas
from services.rule.adapters.database.bodies import with_bodies, with_data
from services.rule.adapters.database.letters import LETTER, letter_from
from services.rule.adapters.database.listing import Listing
from services.rule.adapters.database.pulling import whole
from services.rule.adapters.database.rows import (
    BREAKER,
    EVENT,
    EVENT_FULL,
    EXECUTION,
    SUBJECT,
    TASK,
    breaker_from,
    event_from,
    execution_from,
    subject_from,
    task_from,
)
from services.rule.adapters.database.rules import REVISION, REVISIONS, RULE, find, revision_from, rule_from
from services.rule.adapters.database.schedules import SCHEDULE, schedule_from
from services.rule.breakers import Breaker
from services.rule.cascades import MAX_ITEMS, Tree
from services.rule.events import Event
from services.rule.executions import Execution
from services.rule.letters import DeadLetter
from services.rule.queries import Found, Query
from services.rule.rules import Revision, Rule
from services.rule.schedules import Schedule
from services.rule.subjects import Subject
from services.rule.tasks import Task, WholeTask

T = TypeVar("T")

_SEQ = {"seq": Field(Kind.INT, "seq", required=True)}
_LATEST = (Order("seq", descending=True),)
_BY_NAME = (Order("name"),)

LIST_RULES: Listing[Rule] = Listing("rules", RULE, schemas.RULES, _BY_NAME, rule_from)
LIST_REVISIONS: Listing[Revision] = Listing(
    REVISIONS,
    REVISION,
    schemas.REVISIONS,
    (Order("number", descending=True),),
    revision_from,
    {"number": Field(Kind.INT, "v.number", required=True)},
    "v.tenant",
)
LIST_EVENTS: Listing[Event] = Listing("events", EVENT, schemas.EVENTS, _LATEST, event_from, _SEQ)
LIST_EXECUTIONS: Listing[Execution] = Listing(
    "executions", EXECUTION, schemas.EXECUTIONS, _LATEST, execution_from, _SEQ
)
LIST_SUBJECTS: Listing[Subject] = Listing(
    "subjects",
    SUBJECT,
    schemas.SUBJECTS,
    (Order("id"),),  # the order of the names, which are the ids with a prefix, and have no index
    subject_from,
    {"id": Field(Kind.STRING, "id", required=True)},
)
LIST_SCHEDULES: Listing[Schedule] = Listing("schedules", SCHEDULE, schemas.SCHEDULES, _BY_NAME, schedule_from)
LIST_LETTERS: Listing[DeadLetter] = Listing("dead_letters", LETTER, schemas.LETTERS, _LATEST, letter_from, _SEQ)
LIST_BREAKERS: Listing[Breaker] = Listing(
    "breakers",
    BREAKER,
    schemas.BREAKERS,
    (Order("update_time", descending=True), Order("name")),
    breaker_from,
)

LIST_TASKS: Listing[Task] = Listing("tasks", TASK, schemas.TASKS, (Order("seq"),), task_from, _SEQ)


class Reading:
    """Reads for callers.

    Args:
        database: Where everything is stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def rules(self, tenant: str, query: Query) -> Found[Rule]:
        """Returns rules."""
        return await self._page(LIST_RULES, tenant, query)

    async def revisions(self, tenant: str, rule: str, query: Query) -> Found[Revision]:
        """Returns the revisions of a rule. Raises NotFound if there is no such rule."""

        def read(tx: Transaction) -> Found[Revision]:
            uid = find(tx, tenant, rule).uid
            return LIST_REVISIONS.find(tx, tenant, query, "v.rule_uid = ?", (uid,))

        return await self._database.scan(read)

    async def event(self, tenant: str, name: str) -> Event:
        """Returns an event with its data. Raises NotFound."""
        return await self._one(f"SELECT {EVENT_FULL} FROM events", tenant, name, event_from)

    async def events(self, tenant: str, query: Query, *, full: bool) -> Found[Event]:
        """Returns events, with their data where asked for; then maybe fewer than fit by number."""

        def read(tx: Transaction) -> Found[Event]:
            found = LIST_EVENTS.find(tx, tenant, query)
            if not full:
                return found
            items = with_bodies(tx, found.items)
            return Found(items, found.positions[: len(items)], found.more or len(items) < len(found.items))

        return await self._database.scan(read)

    async def execution(self, tenant: str, name: str) -> Execution:
        """Returns an execution. Raises NotFound."""
        return await self._one(f"SELECT {EXECUTION} FROM executions", tenant, name, execution_from)

    async def executions(self, tenant: str, query: Query) -> Found[Execution]:
        """Returns executions."""
        return await self._page(LIST_EXECUTIONS, tenant, query)

    async def subjects(self, tenant: str, query: Query) -> Found[Subject]:
        """Returns subjects whose ttl has not passed."""
        return await self._database.scan(
            lambda tx: LIST_SUBJECTS.find(tx, tenant, query, "(expire_time IS NULL OR expire_time > ?)", (tx.now,))
        )

    async def schedules(self, tenant: str, query: Query) -> Found[Schedule]:
        """Returns schedules."""
        return await self._page(LIST_SCHEDULES, tenant, query)

    async def letter(self, tenant: str, name: str) -> DeadLetter:
        """Returns a dead letter with its snapshot. Raises NotFound."""
        found = await self._database.read(lambda tx: letters.find(tx, tenant, name))
        if found is None:
            raise not_found(name)
        return found

    async def letters(self, tenant: str, query: Query) -> Found[DeadLetter]:
        """Returns dead letters without their snapshots."""
        return await self._page(LIST_LETTERS, tenant, query)

    async def task(self, tenant: str, name: str) -> WholeTask:
        """Returns a task with what it is about. Raises NotFound."""
        found = await self._database.read(lambda tx: whole(tx, "t.tenant = ? AND t.name = ?", (tenant, name)))
        if not found:
            raise not_found(name)
        return found[0]

    async def tasks(self, tenant: str, queue: str, query: Query) -> Found[Task]:
        """Returns the tasks of a queue, of all if that is empty: with their data, so maybe fewer than fit by number."""

        def read(tx: Transaction) -> Found[Task]:
            found = LIST_TASKS.find(tx, tenant, query, *(("queue = ?", (queue,)) if queue else ()))
            items = with_data(tx, found.items)
            return Found(items, found.positions[: len(items)], found.more or len(items) < len(found.items))

        return await self._database.scan(read)

    async def breaker(self, tenant: str, name: str) -> tuple[Breaker, int]:
        """Returns a breaker and how many executions wait for it. Raises NotFound."""

        def read(tx: Transaction) -> tuple[Breaker, int] | None:
            found = breakers.find(tx, tenant, name)
            return None if found is None else (found, breakers.deferred_count(tx, found))

        found = await self._database.read(read)
        if found is None:
            raise not_found(name)
        return found

    async def breakers(self, tenant: str, query: Query) -> Found[tuple[Breaker, int]]:
        """Returns breakers that are open or have counted a failure, each with how many executions wait for it."""

        def read(tx: Transaction) -> Found[tuple[Breaker, int]]:
            condition = "(failure_count > 0 OR state <> 1)"
            found = LIST_BREAKERS.find(tx, tenant, query, condition)
            return Found([(one, breakers.deferred_count(tx, one)) for one in found.items], found.positions, found.more)

        return await self._database.scan(read)

    async def tree(self, tenant: str, name: str, *, full: bool) -> Tree:
        """Returns all events and executions of the cascade that an event belongs to. Raises NotFound."""

        def read(tx: Transaction) -> Tree:
            row = tx.one(f"SELECT {EVENT_FULL} FROM events WHERE tenant = ? AND name = ?", (tenant, name))
            if row is None:
                raise not_found(name)
            top = event_from(row)
            where = "WHERE tenant = ? AND root_event = ? ORDER BY depth, seq LIMIT ?"
            values = (tenant, top.cause.root, MAX_ITEMS + 1)
            events = [event_from(row) for row in tx.all(f"SELECT {EVENT} FROM events {where}", values)]
            executions = tx.all(f"SELECT {EXECUTION} FROM executions {where}", values)
            bodies = {event.name: event for event in with_bodies(tx, events)} if full else None
            counts = None
            if max(len(events), len(executions)) > MAX_ITEMS:
                counts = (_count(tx, "events", *values[:2]), _count(tx, "executions", *values[:2]))
            return Tree(top, events, [execution_from(row) for row in executions], bodies, counts)

        return await self._database.scan(read)

    async def _page(self, listing: Listing[T], tenant: str, query: Query) -> Found[T]:
        return await self._database.scan(lambda tx: listing.find(tx, tenant, query))

    async def _one(self, select: str, tenant: str, name: str, make: Callable[[Sequence[Any]], T]) -> T:
        row = await self._database.read(lambda tx: tx.one(f"{select} WHERE tenant = ? AND name = ?", (tenant, name)))
        if row is None:
            raise not_found(name)
        return make(row)


def _count(tx: Transaction, table: str, tenant: str, root: str) -> int:
    row = tx.one(f"SELECT COUNT(*) FROM {table} WHERE tenant = ? AND root_event = ?", (tenant, root))
    return int(row[0]) if row else 0
