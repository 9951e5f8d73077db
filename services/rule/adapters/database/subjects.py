"""Subjects in the database."""

from __future__ import annotations

from collections.abc import Iterable

from sutler.ids import new_id
from sutler.store import Transaction

from services.rule.adapters.database.rows import SUBJECT, subject_from, subject_row
from services.rule.adapters.database.subject_log import write
from services.rule.events import Cause, Content
from services.rule.steps import Change
from services.rule.subjects import Subject
from services.rule.tellings import of_deletion
from services.rule.watching import SubjectChange, SubjectKind

NOBODY = Cause("", "")
"""Why time passes."""

_SAVE = (
    f"INSERT INTO subjects ({SUBJECT}, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, id) DO UPDATE SET uid = excluded.uid, create_time = excluded.create_time,"
    " update_time = excluded.update_time, properties = excluded.properties, ext_properties = excluded.ext_properties,"
    " revision = excluded.revision, ttl = excluded.ttl, expire_time = excluded.expire_time"
)


def find(tx: Transaction, tenant: str, id_: str) -> Subject | None:
    """Returns a subject; None if there is none, or its ttl has passed."""
    subject = stored(tx, tenant, id_)
    return None if subject is None or is_over(tx, subject) else subject


def expired(tx: Transaction, tenant: str, id_: str) -> Subject | None:
    """Returns a subject whose ttl has passed and which is still stored; None if there is none."""
    subject = stored(tx, tenant, id_)
    return subject if subject is not None and is_over(tx, subject) else None


def stored(tx: Transaction, tenant: str, id_: str) -> Subject | None:
    """Returns a subject that is stored, whether or not its ttl has passed."""
    row = tx.one(f"SELECT {SUBJECT} FROM subjects WHERE tenant = ? AND id = ?", (tenant, id_))
    return None if row is None else subject_from(row)


def is_over(tx: Transaction, subject: Subject) -> bool:
    """Returns whether the ttl of a subject has passed."""
    return subject.expire_time is not None and subject.expire_time <= tx.now


def end_expired(tx: Transaction, tenant: str, id_: str) -> list[Content]:
    """Deletes a subject whose ttl has passed, before another takes its name, and returns the event that tells of it."""
    subject = expired(tx, tenant, id_)
    if subject is None:
        return []
    delete(tx, subject, SubjectKind.EXPIRED)
    return [of_deletion(subject, "EXPIRED", new_id(), tx.now, {})]


def save(tx: Transaction, before: Subject | None, subject: Subject, changes: Iterable[Change], by: Cause) -> None:
    """Stores a subject, and notes what changed if anything did.

    Args:
        tx: The change.
        before: The subject as it is stored; None if it is not.
        subject: The subject.
        changes: What changed, in order.
        by: Whose will it is.
    """
    tx.send(_SAVE, subject_row(subject))
    if before is None:
        write(tx, SubjectChange(SubjectKind.CREATED, tx.now, None, subject, (), by.principal, by.execution))
    elif before.revision != subject.revision:
        told = tuple(changes)
        write(tx, SubjectChange(SubjectKind.UPDATED, tx.now, before, subject, told, by.principal, by.execution))


def delete(tx: Transaction, subject: Subject, kind: SubjectKind, by: Cause = NOBODY) -> None:
    """Deletes a subject as it is stored, and notes why it is gone."""
    tx.execute("DELETE FROM subjects WHERE tenant = ? AND id = ?", (subject.tenant, subject.id))
    write(tx, SubjectChange(kind, tx.now, subject, subject, (), by.principal, by.execution))
