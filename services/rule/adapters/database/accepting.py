"""Accepts events: finds the rules that match, and stores events and executions in one change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sutler.errors import AlreadyExists, SutlerError
from sutler.store import Transaction
from sutler.store.sequences import draw

from services.rule.adapters.database.indexes import Indexes
from services.rule.adapters.database.inserting import chunks, insert_executions
from services.rule.adapters.database.ordering import SEQUENCE
from services.rule.emissions import too_deep
from services.rule.events import CORRELATION, Cause, Content, Event, EventState, event_name
from services.rule.matching import Entry
from services.rule.outcomes import Aftermath, Claim, Published
from services.rule.values import ABSENT, encode

MAX_CORRELATION = 128

_INSERT_EVENT = f"INSERT INTO events VALUES ({', '.join('?' * 32)}, NULL, NULL)"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of events, and what follows.

    Attributes:
        results: One for each event, in order.
        aftermath: What the process is to do now.
        open: How many of the events have a cascade that goes on.
    """

    results: tuple[Published, ...]
    aftermath: Aftermath
    open: int


class Acceptor:
    """Accepts events.

    Args:
        indexes: The rules.
        max_depth: How deep a cascade may be.
        hand_out_seconds: For how long what this process does not take is left to those who are handed it.
    """

    def __init__(self, indexes: Indexes, max_depth: int, hand_out_seconds: float = 0.0) -> None:
        self._indexes = indexes
        self._hand_out_seconds = hand_out_seconds
        self.max_depth = max_depth

    def accept(self, tx: Transaction, tenant: str, contents: Sequence[Content], cause: Cause, claim: Claim) -> Accepted:
        """Stores those events that are new, each with an execution for each rule that it may fire.

        Raises:
            FailedPrecondition: If the events would be too deep (CASCADE_TOO_DEEP).
        """
        if contents and cause.depth > self.max_depth:
            raise too_deep(self.max_depth, cause, contents[0].type)
        names = [event_name(tenant, content.source, content.id) for content in contents]
        known = _known(tx, tenant, names)
        results: list[Published] = []
        fresh: list[tuple[str, Content]] = []
        for name, content in zip(names, contents, strict=True):
            if name not in known:
                known[name] = content.digest
                fresh.append((name, content))
                results.append(Published(name))
            elif known[name] == content.digest:
                results.append(Published(name, duplicate=True))
            else:
                results.append(Published(error=id_reused(name, content)))
        aftermath, open_ = self._store(tx, tenant, fresh, cause, claim)
        return Accepted(tuple(results), aftermath, open_)

    def begin(self, tx: Transaction, events: Sequence[Event], claim: Claim) -> tuple[list[Event], Aftermath]:
        """Makes the executions of stored events whose time has come; returns the events with how they stand."""
        matched = [(event, self._match(tx, event)) for event in events]
        events = [_counted(event, len(entries), tx.now) for event, entries in matched]
        last = draw(tx, SEQUENCE, count) if (count := sum(len(entries) for _, entries in matched)) else 0
        pairs = [(event, entry) for event, (_, entries) in zip(events, matched, strict=True) for entry in entries]
        return events, insert_executions(tx, pairs, last - len(pairs) + 1, claim)

    def _store(
        self, tx: Transaction, tenant: str, fresh: Sequence[tuple[str, Content]], cause: Cause, claim: Claim
    ) -> tuple[Aftermath, int]:
        matched: list[tuple[str, Content, Sequence[Entry]]] = []
        index = self._indexes.of(tx, tenant) if fresh else None
        for name, content in fresh:
            later = content.deliver_time is not None and content.deliver_time > tx.now
            entries = index.match(content.type, content.subject) if index and not later else ()
            matched.append((name, content, entries))
        total = len(matched) + sum(len(entries) for _, _, entries in matched)
        first = draw(tx, SEQUENCE, total) - total + 1 if total else 0
        pairs: list[tuple[Event, Entry]] = []
        rows = []
        open_ = 0
        for seq, (name, content, entries) in enumerate(matched, first):
            event = _event(name, seq, tenant, content, _own(cause, name, content), len(entries), tx.now)
            rows.append(_row(event, len(entries)))
            pairs += [(event, entry) for entry in entries]
            open_ += event.cascade_end_time is None
        if rows:
            tx.many(_INSERT_EVENT, rows)
        aftermath = insert_executions(tx, pairs, first + len(matched), claim, self._hand_out_seconds)
        ended = () if cause.execution else tuple(row[2] for row in rows if row[30] is not None)
        return replace(aftermath, ended=ended), open_

    def _match(self, tx: Transaction, event: Event) -> Sequence[Entry]:
        return self._indexes.of(tx, event.tenant).match(event.content.type, event.content.subject)


def id_reused(name: str, content: Content) -> SutlerError:
    """Returns the error for an event with the source and id of an earlier one and other content."""
    return AlreadyExists(
        f"another event of source {content.source} and id {content.id} was accepted as {name}; give this one a new id",
        reason="EVENT_ID_REUSED",
        metadata={"source": content.source, "id": content.id, "event": name},
        resource=name,
    )


def _known(tx: Transaction, tenant: str, names: Sequence[str]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for chunk in chunks(names):
        marks = ", ".join("?" * len(chunk))
        rows = tx.all(f"SELECT name, digest FROM events WHERE tenant = ? AND name IN ({marks})", (tenant, *chunk))
        found.update((name, bytes(digest)) for name, digest in rows)
    return found


def _own(cause: Cause, name: str, content: Content) -> Cause:
    """Returns where one event comes from: its own root if from outside, with the correlation id that it names."""
    correlation = content.extensions.get(CORRELATION, "")[:MAX_CORRELATION] or cause.correlation_id
    if cause.root and correlation == cause.correlation_id:
        return cause
    return replace(cause, root=cause.root or name, correlation_id=correlation)


def _event(name: str, seq: int, tenant: str, content: Content, cause: Cause, count: int, now: float) -> Event:
    if content.time is None:
        content = replace(content, time=now)
    if content.deliver_time is not None and content.deliver_time > now:
        return Event(name, seq, tenant, content, cause, now, now, EventState.SCHEDULED)
    if count:
        return Event(name, seq, tenant, content, cause, now, now, EventState.ACTIVE, count)
    return Event(name, seq, tenant, content, cause, now, now, EventState.SUCCEEDED, end_time=now, cascade_end_time=now)


def _counted(event: Event, count: int, now: float) -> Event:
    """Returns an event that rules have got: ended at once if there are none."""
    if count:
        return replace(event, state=EventState.ACTIVE, execution_count=count, update_time=now)
    return replace(event, state=EventState.SUCCEEDED, end_time=now, cascade_end_time=now, update_time=now)


def _row(event: Event, executions: int) -> tuple[Any, ...]:
    content, cause = event.content, event.cause
    return (
        *(event.seq, event.tenant, event.name, content.id, content.source, content.type, content.subject),
        *(content.time, content.datacontenttype, content.dataschema),
        *(None if content.data is ABSENT else encode(content.data), content.binary),
        *(encode(dict(content.extensions)), encode(dict(content.extra)), content.deliver_time, content.digest),
        *(event.create_time, event.update_time, cause.correlation_id, int(event.state)),
        *(cause.execution, cause.event, cause.root, cause.depth),
        *(event.execution_count, 0, 0, executions, 0),
        *(event.end_time, event.cascade_end_time, cause.principal),
    )
