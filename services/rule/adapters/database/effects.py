"""Stores what an execution writes, and returns what it emits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sutler.store import Transaction

from services.rule.adapters.database import subjects
from services.rule.effects import Effects
from services.rule.events import Content
from services.rule.executions import Execution, Job
from services.rule.outcomes import Finished
from services.rule.subjects import Subject


def take_effect(tx: Transaction, job: Job, result: Finished) -> tuple[Execution, Sequence[Content]]:
    """Writes the subjects of an execution, and returns it with steps that tell of it, and the events that it causes.

    Raises:
        FailedPrecondition: If an expression fails, or an increment meets no number.
        Invalid: If a subject or an event would be too large.
        Conflict: If a subject has not the revision that a worker expects (REVISION_MISMATCH).
    """
    effects = _effects(tx, job, result)
    steps = tuple(effects.make(step) for step in result.execution.steps)
    for subject in effects.gone:
        subjects.delete(tx, subject)
    for subject in effects.subjects:
        subjects.save(tx, subject)
    return replace(result.execution, steps=steps), effects.contents


def preview(tx: Transaction, job: Job, result: Finished) -> Sequence[Content]:
    """Returns the events that an execution would cause if it ended now, and stores nothing. Raises as it would fail."""
    effects = _effects(tx, job, result)
    for step in result.execution.steps:
        effects.make(step)
    return effects.contents


def _effects(tx: Transaction, job: Job, result: Finished) -> Effects:
    tenant = job.execution.tenant

    def load(id_: str) -> tuple[Subject | None, Subject | None]:
        return subjects.find(tx, tenant, id_), subjects.expired(tx, tenant, id_)

    return Effects(result.execution, job.event, result.evaluate, load, tx.now)
