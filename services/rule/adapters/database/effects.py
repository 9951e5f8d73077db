"""Stores what an execution writes, and returns what it emits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sutler.auth import decode_principal
from sutler.store import Transaction

from services.rule.adapters.database import subjects
from services.rule.effects import Effects
from services.rule.emissions import caused_by
from services.rule.events import Cause, Content
from services.rule.executions import Execution, Job
from services.rule.outcomes import Finished
from services.rule.subjects import Subject
from services.rule.watching import SubjectKind


def take_effect(tx: Transaction, job: Job, result: Finished) -> tuple[Execution, Sequence[Content]]:
    """Writes the subjects of an execution, and returns it as it ends, with steps that tell of it, and what it emits.

    Raises:
        FailedPrecondition: If an expression fails, or an increment meets no number.
        Invalid: If a subject or an event would be too large.
        Conflict: If a subject has not the revision that a worker expects (REVISION_MISMATCH).
    """
    effects = _effects(tx, job, result)
    steps = tuple(effects.make(step) for step in result.execution.steps)
    if effects.gone or effects.written:
        by = cause_of(tx, job, result.execution)
        for gone, kind in effects.gone:
            subjects.delete(tx, gone, kind, by if kind is SubjectKind.DELETED else subjects.NOBODY)
        for stored, subject, changes in effects.written:
            subjects.save(tx, stored, subject, changes, by)
    return replace(result.execution, state=result.state, steps=steps), effects.contents


def preview(tx: Transaction, job: Job, result: Finished) -> Sequence[Content]:
    """Returns the events that an execution would cause if it ended now, and stores nothing. Raises as it would fail."""
    effects = _effects(tx, job, result)
    for step in result.execution.steps:
        effects.make(step)
    return effects.contents


def cause_of(tx: Transaction, job: Job, execution: Execution) -> Cause:
    """Returns where what an execution writes and emits comes from."""
    key = ("author", execution.rule_uid, execution.revision)
    if key not in tx.found:
        row = tx.one("SELECT author FROM rule_revisions WHERE rule_uid = ? AND number = ?", key[1:])
        tx.found[key] = decode_principal(row[0]).subject if row else ""
    return caused_by(execution, job.event, tx.found[key])


def _effects(tx: Transaction, job: Job, result: Finished) -> Effects:
    tenant = job.execution.tenant

    def load(id_: str) -> tuple[Subject | None, Subject | None]:
        subject = subjects.stored(tx, tenant, id_)
        return (None, subject) if subject is not None and subjects.is_over(tx, subject) else (subject, None)

    return Effects(result.execution, job.event, result.evaluate, load, tx.now)
