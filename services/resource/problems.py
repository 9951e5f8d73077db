"""An error that is kept: why a resource is FAILED or CANCELED, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from sutler.errors import BY_CODE, Code, Internal, SutlerError, Violation

DOMAIN = "resource.sutler.dev"
MAX_TEXT = 2000
MAX_ENTRIES = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong.

    Attributes:
        code: The gRPC code.
        reason: A value of an ``ErrorReason``, without its prefix.
        message: For people.
        metadata: The variables of the message.
        violations: Broken rules as field, description, reason.
        retry_after: Seconds after which a repeat makes sense; None if nothing is known.
        domain: The service that said it.
    """

    code: int
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[tuple[str, str, str], ...] = ()
    retry_after: float | None = None
    domain: str = DOMAIN

    def error(self) -> SutlerError:
        """Returns it as an error."""
        kind = BY_CODE.get(Code(self.code), Internal)
        error = kind(
            self.message,
            reason=self.reason,
            metadata=self.metadata,
            violations=[Violation(*violation) for violation in self.violations],
            retry_after=None if self.retry_after is None else timedelta(seconds=self.retry_after),
            domain=self.domain,
        )
        error.code = Code(self.code)
        return error


def problem(error: SutlerError) -> Problem:
    """Returns an error as data of bounded size; it may come from anywhere."""
    return Problem(
        code=int(error.code),
        reason=error.reason[:MAX_TEXT],
        message=error.message[:MAX_TEXT],
        metadata={key[:MAX_TEXT]: value[:MAX_TEXT] for key, value in list(error.metadata.items())[:MAX_ENTRIES]},
        violations=tuple(
            (v.field[:MAX_TEXT], v.description[:MAX_TEXT], v.reason[:MAX_TEXT]) for v in error.violations[:MAX_ENTRIES]
        ),
        retry_after=None if error.retry_after is None else error.retry_after.total_seconds(),
        domain=error.domain or DOMAIN,
    )
