"""Errors as they are stored: what went wrong, and whether another try can help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum

from sutler.errors import BY_CODE, Code, Internal, SutlerError, Violation

DOMAIN = "rule.sutler.dev"

PATIENT = frozenset((Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.RESOURCE_EXHAUSTED, Code.ABORTED))
"""Codes that use up no attempt: the other side has not said no."""

FINAL_REASONS = frozenset(
    (
        "EXPRESSION_FAILED",
        "TEMPLATE_INVALID",
        "SUBJECT_MISSING",
        "PROPERTY_TYPE_MISMATCH",
        "CASCADE_TOO_DEEP",
        "OUTCOME_UNKNOWN",
        "TOO_LARGE",
        "METHOD_UNKNOWN",
        "METHOD_NOT_ALLOWED",
        "ADDRESS_NOT_ALLOWED",
        "PERMISSION_MISSING",
    )
)
"""Reasons that would come again every time, or where a repeat could do a thing twice."""


class Kind(Enum):
    """What follows from a failure."""

    PATIENT = "waits without using up an attempt"
    ATTEMPT = "uses up an attempt"
    FINAL = "ends the execution at once"


@dataclass(frozen=True, slots=True)
class Failure:
    """A :class:`~sutler.errors.SutlerError` in a form that can be stored. The attributes are the same."""

    code: int
    message: str
    reason: str
    domain: str = DOMAIN
    metadata: Mapping[str, str] = field(default_factory=dict)
    resource: str = ""
    violations: tuple[Violation, ...] = ()
    retry_after: float | None = None

    @property
    def kind(self) -> Kind:
        """What follows from it."""
        ours = self.domain == DOMAIN
        if self.reason == "OUTCOME_UNKNOWN" or (ours and self.reason in FINAL_REASONS):
            return Kind.FINAL
        return Kind.PATIENT if self.code in PATIENT else Kind.ATTEMPT


def from_error(error: SutlerError) -> Failure:
    """Returns an error as it is stored."""
    return Failure(
        int(error.code),
        error.message,
        error.reason,
        error.domain or DOMAIN,
        dict(error.metadata),
        error.resource,
        error.violations,
        None if error.retry_after is None else error.retry_after.total_seconds(),
    )


def to_error(failure: Failure) -> SutlerError:
    """Returns the error that was stored."""
    code = Code(failure.code) if failure.code in Code._value2member_map_ else Code.UNKNOWN
    error = BY_CODE.get(code, Internal)(
        failure.message,
        reason=failure.reason,
        metadata=failure.metadata,
        resource=failure.resource,
        violations=failure.violations,
        retry_after=None if failure.retry_after is None else timedelta(seconds=failure.retry_after),
        domain=failure.domain,
    )
    error.code = code
    return error
