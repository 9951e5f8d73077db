"""The log of changes of subjects, which watches read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from google.protobuf.message import Message
from sutler.filtering import parse
from sutler.paging import fitting
from sutler.store import Database, Row, Transaction
from sutler.store.sequences import draw

from services.rule.adapters.database import marks, schemas
from services.rule.adapters.database.rows import SUBJECT, subject_from, subject_row
from services.rule.adapters.database.watched import Told, entries
from services.rule.steps import dump_changes, load_changes
from services.rule.watching import SubjectChange, SubjectKind, facts_of, undone

SEQUENCE = "subject_changes"

_COLUMNS = f"seq, kind, change_time, principal, execution, changes, prior, {SUBJECT}"
_WIDTH = len(SUBJECT.split(", "))


def write(tx: Transaction, change: SubjectChange) -> None:
    """Notes a change. What a subject was before an update follows from what it is, what changed, and a few fields."""
    before = change.before if change.kind is SubjectKind.UPDATED else None
    prior = None if before is None else [before.update_time, before.revision, before.ttl, before.expire_time]
    tx.insert(
        "subject_changes",
        _COLUMNS,
        (
            *(draw(tx, SEQUENCE), int(change.kind), change.time, change.principal, change.execution),
            *(dump_changes(change.changes), "" if prior is None else orjson.dumps(prior).decode()),
            *subject_row(change.subject)[:_WIDTH],
        ),
    )


@dataclass(frozen=True, slots=True)
class SubjectLog:
    """The changes of a tenant's subjects, as a watch sees them; see :class:`sutler.tails.Log`.

    Attributes:
        database: Where they are.
        tenant: Whose subjects.
        filter: Which subjects.
        properties: The properties that are told; all if empty.
        make: Makes the message of a change.
    """

    database: Database
    tenant: str
    filter: str
    properties: tuple[str, ...]
    make: Callable[[SubjectChange], Message]

    @property
    def identity(self) -> tuple[Any, ...]:
        """Says which log it is, and how it is seen."""
        return "subjects", self.tenant, self.filter, self.properties

    def size(self, change: Told) -> int:
        """Returns how many bytes a change takes in a message."""
        return change.size

    async def bounds(self) -> tuple[int, int]:
        """Returns the position before the oldest kept entry, and that of the newest one."""
        return await self.database.read(lambda tx: marks.bounds(tx, self.tenant, (marks.SUBJECTS,), SEQUENCE))

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, Told]]:
        """Returns entries after a position, in order, not more than go into one message, but one if there is one."""
        passes = parse(self.filter, schemas.SUBJECTS).predicate()
        told = []
        for number, change in await self.database.read(lambda tx: self._read(tx, position, limit)):
            seen = not change.kind.gone and passes(facts_of(change.subject))
            seen = seen or (change.before is not None and passes(facts_of(change.before)))
            told.append(Told.of(number, [self.make(change)] if seen else []))
        return entries(told)

    def _read(self, tx: Transaction, position: int, limit: int) -> list[tuple[int, SubjectChange]]:
        which = "FROM subject_changes WHERE tenant = ? AND seq > ?"
        sizes = tx.all(
            f"SELECT seq, LENGTH(properties) + LENGTH(ext_properties) + LENGTH(changes) {which} ORDER BY seq LIMIT ?",
            (self.tenant, position, limit),
        )
        if not sizes:
            return []
        last = sizes[fitting(size for _, size in sizes) - 1][0]
        rows = tx.all(f"SELECT {_COLUMNS} {which} AND seq <= ? ORDER BY seq", (self.tenant, position, last))
        return [(row[0], _change(row)) for row in rows]


def _change(row: Row) -> SubjectChange:
    _, kind, time, principal, execution, changes, prior = row[:7]
    kind, subject, applied = SubjectKind(kind), subject_from(row[7:]), load_changes(changes)
    before = subject if kind.gone else None
    if prior:
        update_time, revision, ttl, expire_time = orjson.loads(prior)
        facts = undone(subject, applied)
        before = replace(facts, update_time=update_time, revision=revision, ttl=ttl, expire_time=expire_time)
    return SubjectChange(kind, time, before, subject, applied, principal, execution)
