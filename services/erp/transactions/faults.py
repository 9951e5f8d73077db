"""The errors of transactions, one function for each."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, Invalid, SutlerError, Violation, invalid_fields

from services.erp import faults
from services.erp.transactions.model import StepSpec

SHOWN = 20


def name_taken(name: str) -> AlreadyExists:
    """There is a transaction of this name."""
    return AlreadyExists(f"{name} exists; choose another transaction_id", resource=name)


def too_large(size: int, limit: int) -> Invalid:
    """The steps have too many bytes together."""
    return invalid_fields([Violation("steps", f"have {size} bytes together, at most {limit} are allowed", "TOO_LARGE")])


def not_undoable(step_id: str, cause: str) -> FailedPrecondition:
    """A step could not be undone if a later one failed."""
    return FailedPrecondition(
        f"step {step_id} could not be undone if a later step failed: {cause}; make it the last one, or leave it out",
        reason="STEP_NOT_UNDOABLE",
        metadata={"step": step_id, "cause": cause},
    )


def reference_invalid(step_id: str, reference: str) -> Invalid:
    """A step refers to one that does not come before it or creates nothing."""
    return Invalid(
        f"step {step_id} refers to {reference}, which is not the id of a record that an earlier step creates",
        reason="STEP_REFERENCE_INVALID",
        metadata={"step": step_id, "reference": reference},
    )


def step_unknown(transaction: str, spec: StepSpec) -> Conflict:
    """Nobody can know whether the ERP took a step."""
    error = faults.outcome_unknown(transaction)
    return Conflict(error.message, reason=error.reason, metadata=error.metadata | _place(transaction, spec))


def undo_failed(transaction: str, step_ids: Sequence[str], cause: SutlerError) -> Conflict:
    """A step failed, and others could not be undone."""
    steps = ", ".join(step_ids[:SHOWN])
    return Conflict(
        f"{transaction} failed ({cause.message}), and the steps {steps} could not be undone: they still stand; "
        "read the transaction and mend the records",
        reason="UNDO_FAILED",
        metadata={"transaction": transaction, "steps": steps, "cause": cause.reason},
    )


def moved(connection: str, transaction: str) -> FailedPrecondition:
    """The connection leads to other data than when a transaction began, where its ids are those of other records."""
    return FailedPrecondition(
        f"{connection} leads to another database since {transaction} began; what it wrote is in the one before",
        metadata={"connection": connection, "transaction": transaction},
    )


def changed_since(connection: str, model: str, ids: Iterable[int]) -> Conflict:
    """Values that would be restored were changed by somebody else meanwhile."""
    shown = ", ".join(str(one) for one in list(ids)[:SHOWN])
    return Conflict(
        f"{model} {shown} of {connection} were changed by somebody else since; their old values are not restored",
        reason="ETAG_MISMATCH",
        metadata={"connection": connection, "model": model, "ids": shown},
    )


def of_checked_step(error: SutlerError, index: int, spec: StepSpec) -> SutlerError:
    """Returns why a step is refused before anything is written, with its place among the steps."""
    placed = _with(error, {"step": spec.step_id})
    if isinstance(error, Invalid):
        placed.violations = tuple(
            replace(one, field=f"steps[{index}].{spec.kind}.{one.field}") for one in error.violations
        )
    return placed


def of_step(error: SutlerError, transaction: str, spec: StepSpec) -> SutlerError:
    """Returns why a step failed, with its place; of a batch, with the rows that it is about."""
    if not spec.rows:
        return _with(error, _place(transaction, spec))
    if isinstance(error, Invalid) and error.violations:
        return faults.rows_invalid(
            spec.model, [placed for one in error.violations for placed in _placed(one, error, spec)]
        )
    return _with(error, {"rows": ", ".join(str(row) for row in spec.rows[:SHOWN])})


def not_shown(connection: str, model: str, ids: Iterable[int]) -> FailedPrecondition:
    """The ERP does not show what was written, so nobody can see whether it is still there."""
    shown = ", ".join(str(one) for one in list(ids)[:SHOWN])
    return FailedPrecondition(
        f"{model} {shown} of {connection} do not show what was written to them; it cannot be undone",
        reason="STEP_NOT_UNDOABLE",
        metadata={"connection": connection, "model": model, "ids": shown, "cause": "values that cannot be read"},
    )


def _with(error: SutlerError, metadata: Mapping[str, str]) -> SutlerError:
    """Returns a copy that says more: callers whose reads were joined get one and the same error."""
    more = copy.copy(error)
    more.metadata = {**error.metadata, **metadata}
    return more


def _placed(broken: Violation, error: Invalid, spec: StepSpec) -> list[Violation]:
    """Returns a broken rule with its place among the rows of the batch; one of an update is broken in all its rows."""
    row, dot, rest = broken.field.removeprefix("rows[").partition("].")
    rows = [spec.rows[int(row)]] if dot else spec.rows[:SHOWN]
    reason = broken.reason or error.reason
    return [Violation(f"rows[{one}].{rest if dot else broken.field}", broken.description, reason) for one in rows]


def _place(transaction: str, spec: StepSpec) -> dict[str, str]:
    return {"transaction": transaction, "step": ", ".join(spec.step_ids[:SHOWN])}
