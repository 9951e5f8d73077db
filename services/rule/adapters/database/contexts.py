"""What an attempt needs to know beside its job, and the answers that it keeps for later ones."""

from __future__ import annotations

from typing import Any

import orjson
from sutler.errors import not_found
from sutler.store import Transaction

from services.rule.adapters.database import breakers, subjects, tasks
from services.rule.executions import Execution
from services.rule.outcomes import Context
from services.rule.values import encode


def context_of(tx: Transaction, execution: Execution, *, with_subject: bool) -> Context:
    """Returns what an attempt needs to know. Raises NotFound if the revision is not stored any more."""
    row = tx.one(
        "SELECT author, cancelled FROM rule_revisions WHERE rule_uid = ? AND number = ?",
        (execution.rule_uid, execution.revision),
    )
    if row is None:
        raise not_found(f"{execution.rule}/revisions/{execution.revision}")
    wanted = with_subject and execution.subject
    answers: list[tuple[Any, ...]] = []
    if any(step.answered for step in execution.steps):
        answers = tx.all("SELECT step, answer FROM answers WHERE execution = ?", (execution.seq,))
    return Context(
        row[0],
        bool(row[1]),
        subjects.find(tx, execution.tenant, execution.subject) if wanted else None,
        breakers.of_execution(tx, execution),
        {step: orjson.loads(answer) for step, answer in answers},
        tasks.leases(tx, execution),
    )


def keep_answer(tx: Transaction, execution: Execution, step: str, answer: Any) -> None:
    """Stores the answer of an outside call or a worker, for later actions."""
    tx.execute(
        "INSERT INTO answers (execution, step, answer) VALUES (?, ?, ?)"
        " ON CONFLICT (execution, step) DO UPDATE SET answer = excluded.answer",
        (execution.seq, step, encode(answer)),
    )
