"""Gives stored events to chosen rules once more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sutler.errors import NotFound
from sutler.filtering import parse
from sutler.ids import derive
from sutler.operations import Operation
from sutler.store import Transaction

from services.rule.adapters.database import operating, schemas
from services.rule.adapters.database.accounting import execution_begun_again
from services.rule.adapters.database.inserting import insert_execution, new_execution
from services.rule.adapters.database.ordering import next_number
from services.rule.adapters.database.resuming import lane_busy
from services.rule.adapters.database.rows import EVENT, event_from
from services.rule.adapters.database.rules import find
from services.rule.events import Event, EventState, random_uuid_like
from services.rule.matching import Entry, RuleIndex
from services.rule.replaying import Chosen, Counts, Planned
from services.rule.rules import Rule

MAX_EXECUTIONS = 1000
"""About how many executions are made in one change."""

HALF_MICROSECOND = 0.5e-6
"""Times are shown rounded to the microsecond; a bound that was read from an event means that event."""


def plan_events(tx: Transaction, tenant: str, chosen: Chosen) -> tuple[Planned, int]:
    """Returns what a replay would begin, and the place of the last event.

    Raises:
        NotFound: If a rule does not exist.
        Invalid: If the filter is wrong (FILTER_INVALID).
    """
    index = _index([find(tx, tenant, name) for name in chosen.rules])
    where, values = _range(tx, tenant, chosen)
    rows = tx.all(f"SELECT type, subject, COUNT(*), MAX(seq) FROM events WHERE {where} GROUP BY type, subject", values)
    by_rule = dict.fromkeys(chosen.rules, 0)
    events = last = 0
    for type_, subject, count, seq in rows:
        entries = index.match(type_, subject)
        events += int(count) if entries else 0
        last = max(last, seq)
        for entry in entries:
            by_rule[entry.rule] = by_rule.get(entry.rule, 0) + int(count)
    return Planned(events, by_rule), last


def begin_events(tx: Transaction, operation: Operation, work: dict[str, Any], limit: int) -> tuple[Counts, bool]:
    """Begins the executions of some events, and returns the counts after that and whether there was anything left."""
    chosen = Chosen(**work["chosen"])
    index = _index(_still_there(tx, operation.tenant, chosen.rules))
    where, values = _range(tx, operation.tenant, chosen)
    fits = min(limit, max(1, MAX_EXECUTIONS // len(chosen.rules)))
    rows = tx.all(
        f"SELECT {EVENT} FROM events WHERE {where} AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        (*values, work["after"], work["last"], fits),
    )
    counts = Counts(**work["counts"])
    for event in map(event_from, rows):
        work["after"] = event.seq
        entries = index.match(event.content.type, event.content.subject)
        for entry in entries:
            _begin(tx, operation, event, entry)
        counts = replace(counts, events=counts.events + bool(entries), begun=counts.begun + len(entries))
    return counts, bool(rows)


def _begin(tx: Transaction, operation: Operation, event: Event, entry: Entry) -> None:
    fresh = new_execution(event, entry, next_number(tx), tx.now)
    name = "executions/" + random_uuid_like(derive(fresh.uuid, operation.name))
    execution = replace(fresh, name=name)
    execution_begun_again(tx, event.tenant, event.name, failed=0, added=1)
    insert_execution(tx, execution, ready=not lane_busy(tx, execution))
    operating.wait_for(tx, operation, execution.seq)


def _range(tx: Transaction, tenant: str, chosen: Chosen) -> tuple[str, tuple[Any, ...]]:
    """Returns the condition, with its values, for the events that are replayed: those that rules have had already."""
    wanted, values = parse(chosen.filter, schemas.EVENTS).sql(tx.dialect)
    where, params = [f"tenant = ? AND ({wanted}) AND state <> ?"], [tenant, *values, int(EventState.SCHEDULED)]
    for bound, condition in ((chosen.start, "create_time >= ?"), (chosen.end, "create_time < ?")):
        if bound is not None:
            where.append(condition)
            params.append(bound - HALF_MICROSECOND)
    return " AND ".join(where), tuple(params)


def _index(rules: Sequence[Rule]) -> RuleIndex:
    index = RuleIndex()
    for rule in rules:
        if rule.active:
            definition = rule.definition
            index.put(Entry(rule.uid, rule.name, rule.active, definition.priority, definition.on, definition.subject))
    return index


def _still_there(tx: Transaction, tenant: str, names: Sequence[str]) -> list[Rule]:
    found = []
    for name in names:
        try:
            found.append(find(tx, tenant, name))
        except NotFound:  # deleted since the replay began
            continue
    return found
