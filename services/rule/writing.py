"""Compiles and checks what callers write into subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sutler.errors import FailedPrecondition, Invalid
from sutler.expressions import EvaluationFailed, Expression, ExpressionInvalid

from services.rule.faults import Fault, at, refuse
from services.rule.subjects import Evaluate, Subject
from services.rule.values import MAX_EXTRA_BYTES, plain, size
from services.rule.variables import WRITES
from services.rule.writes import Write


def compile_writes(writes: Sequence[Write], prefix: str = "") -> Evaluate:
    """Compiles the expressions of writes, and returns what evaluates them.

    Args:
        writes: The writes.
        prefix: The path of what holds them in the request, for violations.

    Raises:
        Invalid: If one does not compile (EXPRESSION_INVALID).
    """
    compiled: dict[str, Expression] = {}
    faults: list[Fault] = []
    for index, write in enumerate(writes):
        if write.kind == "expression" and write.value not in compiled:
            try:
                compiled[write.value] = WRITES.compile(write.value)
            except ExpressionInvalid as error:
                where = f"writes[{index}].expression"
                description = f"is not a valid CEL expression: {error}"
                faults.append(Fault(where, description, "EXPRESSION_INVALID", at(error.position)))
    refuse(faults, prefix)

    def evaluate(write: Write, old: Any, subject: Subject) -> Any:
        try:
            return plain(compiled[write.value].evaluate(WRITES.bind({"old": old, "subject": subject.facts()})))
        except EvaluationFailed as error:
            raise FailedPrecondition(
                f"the expression for property {write.property} failed: {error}",
                reason="EXPRESSION_FAILED",
                metadata={"field": write.property, "cause": str(error)},
                resource=subject.name,
            ) from error

    return evaluate


def check_extra(extra: Mapping[str, Any], field: str = "extra") -> None:
    """Checks the size of the context beside the data of an event.

    Args:
        extra: The context.
        field: Its path in the request.

    Raises:
        Invalid: If it is larger than 64 KiB (TOO_LARGE).
    """
    if extra and size(extra) > MAX_EXTRA_BYTES:
        raise Invalid(
            f"{field} has at most {MAX_EXTRA_BYTES} bytes",
            reason="TOO_LARGE",
            metadata={"field": field, "limit_bytes": str(MAX_EXTRA_BYTES)},
        )
