"""Subjects in the database."""

from __future__ import annotations

from sutler.ids import new_id
from sutler.store import Transaction

from services.rule.adapters.database.rows import SUBJECT, subject_from, subject_row
from services.rule.events import Content
from services.rule.subjects import Subject
from services.rule.tellings import of_deletion

_SAVE = (
    f"INSERT INTO subjects ({SUBJECT}, name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (tenant, id) DO UPDATE SET uid = excluded.uid, create_time = excluded.create_time,"
    " update_time = excluded.update_time, properties = excluded.properties, ext_properties = excluded.ext_properties,"
    " revision = excluded.revision, ttl = excluded.ttl, expire_time = excluded.expire_time"
)


def find(tx: Transaction, tenant: str, id_: str) -> Subject | None:
    """Returns a subject; None if there is none, or its ttl has passed."""
    row = tx.one(
        f"SELECT {SUBJECT} FROM subjects WHERE tenant = ? AND id = ? AND (expire_time IS NULL OR expire_time > ?)",
        (tenant, id_, tx.now),
    )
    return None if row is None else subject_from(row)


def expired(tx: Transaction, tenant: str, id_: str) -> Subject | None:
    """Returns a subject whose ttl has passed and which is still stored; None if there is none."""
    row = tx.one(
        f"SELECT {SUBJECT} FROM subjects WHERE tenant = ? AND id = ? AND expire_time <= ?", (tenant, id_, tx.now)
    )
    return None if row is None else subject_from(row)


def end_expired(tx: Transaction, tenant: str, id_: str) -> list[Content]:
    """Deletes a subject whose ttl has passed, before another takes its name, and returns the event that tells of it."""
    subject = expired(tx, tenant, id_)
    if subject is None:
        return []
    delete(tx, subject)
    return [of_deletion(subject, "EXPIRED", new_id(), tx.now, {})]


def save(tx: Transaction, subject: Subject) -> None:
    """Stores a subject."""
    tx.execute(_SAVE, subject_row(subject))


def delete(tx: Transaction, subject: Subject) -> None:
    """Deletes a subject."""
    tx.execute("DELETE FROM subjects WHERE tenant = ? AND id = ?", (subject.tenant, subject.id))
