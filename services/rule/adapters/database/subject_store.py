"""Subjects in the database, for callers: each update is one change, with the events that tell of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sutler.errors import not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.ids import new_id
from sutler.store import Database, Transaction
from sutler.store.requests import remember

from services.rule.adapters.database import subjects, tasks
from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.accounting import children_begun
from services.rule.adapters.database.rows import SUBJECT, subject_from
from services.rule.adapters.database.settling import task_cause
from services.rule.events import Cause, Content, event_name
from services.rule.outcomes import Aftermath, Claim
from services.rule.subject_updates import Deleting, Updated, Updating
from services.rule.subjects import (
    Subject,
    apply,
    check_properties,
    check_revision,
    fresh,
    kept_alive,
    merge_writes,
    subject_name,
)
from services.rule.tasks import Task
from services.rule.tellings import of_change, of_deletion
from services.rule.watching import SubjectKind

EXPIRY_BATCH = 100


@dataclass(frozen=True, slots=True)
class _Computed:
    stored: Subject | None
    updated: Updated
    contents: tuple[Content, ...]


class DatabaseSubjects:
    """Stores subjects. See :class:`services.rule.subject_updates.SubjectStore`.

    Args:
        database: Where they are stored.
        acceptor: Accepts the events that tell of changes.
    """

    def __init__(self, database: Database, acceptor: Acceptor) -> None:
        self._database = database
        self._acceptor = acceptor

    async def get(self, tenant: str, id_: str) -> Subject:
        """Returns a subject."""
        return await self._database.read(lambda tx: _find(tx, tenant, id_))

    async def preview(self, updating: Updating) -> Updated:
        """Returns what an update would give."""
        updated = (await self._database.read(lambda tx: _compute(tx, updating))).updated
        return replace(updated, changes=tuple(replace(change, event="") for change in updated.changes))

    async def update(self, updating: Updating, claim: Claim, once: Once | None) -> tuple[Updated, Aftermath]:
        """Updates a subject and accepts the events that tell of it."""

        def change(tx: Transaction) -> tuple[Updated, Aftermath]:
            task = _check_task(tx, updating)
            computed = _compute(tx, updating)
            ended = subjects.end_expired(tx, updating.tenant, updating.id)
            contents = [*ended, *computed.contents]
            cause = updating.cause if task is None else task_cause(tx, task, updating.cause.principal)
            subjects.save(tx, computed.stored, computed.updated.subject, computed.updated.changes, cause)
            accepted = self._acceptor.accept(tx, updating.tenant, contents, cause, claim)
            if task is not None:
                children_begun(tx, updating.tenant, task.event, accepted.open)
            remember(tx, once, computed.updated)
            return computed.updated, accepted.aftermath

        return await self._database.write(change)

    async def delete(self, deleting: Deleting, claim: Claim, once: Once | None) -> Aftermath:
        """Deletes a subject and accepts the event that tells of it."""

        def change(tx: Transaction) -> Aftermath:
            subject = _find(tx, deleting.tenant, deleting.id)
            check_etag(deleting.etag, subject.etag, subject.name)
            subjects.delete(tx, subject, SubjectKind.DELETED, deleting.cause)
            told = [] if deleting.muted else [of_deletion(subject, "DELETED", new_id(), tx.now, deleting.extra)]
            accepted = self._acceptor.accept(tx, deleting.tenant, told, deleting.cause, claim)
            remember(tx, once, None)
            return accepted.aftermath

        return await self._database.write(change)

    async def deleted_already(self, once: Once | None) -> None:
        """Remembers the answer to a deletion of a subject that does not exist."""
        if once is not None:
            await self._database.write(lambda tx: remember(tx, once, None))

    async def expire(self) -> bool:
        """Deletes up to 100 subjects whose ttl has passed, tells of each, and returns whether there may be more."""
        if not await self._database.read(_has_expired):
            return False

        def change(tx: Transaction) -> bool:
            rows = tx.all(f"SELECT {SUBJECT} FROM subjects WHERE expire_time <= ? LIMIT ?", (tx.now, EXPIRY_BATCH))
            for subject in map(subject_from, rows):
                subjects.delete(tx, subject, SubjectKind.EXPIRED)
                told = of_deletion(subject, "EXPIRED", new_id(), tx.now, {})
                self._acceptor.accept(tx, subject.tenant, [told], Cause("", ""), Claim())
            return len(rows) == EXPIRY_BATCH

        return await self._database.write(change)


def _check_task(tx: Transaction, updating: Updating) -> Task | None:
    """Returns the task in whose course a write is made, if its worker still holds it."""
    if updating.task is None:
        return None
    task = tasks.find(tx, updating.tenant, updating.task.task)
    tasks.check_held(tx, task, updating.task.token)
    return task


def _has_expired(tx: Transaction) -> bool:
    return tx.one("SELECT 1 FROM subjects WHERE expire_time <= ? LIMIT 1", (tx.now,)) is not None


def _find(tx: Transaction, tenant: str, id_: str) -> Subject:
    subject = subjects.find(tx, tenant, id_)
    if subject is None:
        raise not_found(subject_name(id_))
    return subject


def _compute(tx: Transaction, updating: Updating) -> _Computed:
    """Returns what an update gives, without storing it."""
    stored = subjects.find(tx, updating.tenant, updating.id)
    check_revision(updating.expected_revision, stored, updating.id)
    if stored is None and not updating.allow_missing:
        raise not_found(subject_name(updating.id))
    subject = stored or fresh(updating.tenant, updating.id, tx.now)
    if stored is not None:
        check_etag(updating.etag, stored.etag, stored.name)
    facts = updating.merge(subject)
    check_properties(facts.properties, "subject.properties")
    check_properties(facts.ext_properties, "subject.ext_properties")
    writes = [*merge_writes(subject, facts.properties, facts.ext_properties), *updating.writes]
    changed, applied = apply(replace(subject, ttl=facts.ttl), writes, tx.now, updating.evaluate)
    if facts.ttl != subject.ttl:
        revision = max(changed.revision, subject.revision + 1)
        changed = kept_alive(replace(changed, revision=revision, update_time=tx.now), tx.now)
    contents: list[Content] = []
    changes = []
    for one in applied:
        if one.told and not updating.muted:
            told = of_change(one.change, changed.revision, new_id(), tx.now, updating.extra, {})
            contents.append(told)
            changes.append(replace(one.change, event=event_name(updating.tenant, told.source, told.id)))
        else:
            changes.append(one.change)
    return _Computed(stored, Updated(changed, tuple(changes)), tuple(contents))
