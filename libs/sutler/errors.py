"""Domain errors, and the one table that gives each its gRPC code and its default reason.

Domain code raises these; nothing below a servicer knows gRPC. :mod:`sutler.status` turns them into
``google.rpc.Status`` on the server and back into the same classes in the client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum


class Code(IntEnum):
    """The gRPC status codes, by their wire numbers."""

    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule.

    Attributes:
        field: The path of the field as in the contract, such as ``rule.actions[2].delay``; empty for the whole request.
        description: What is wrong and what is allowed, one sentence.
        reason: A short name of the rule in UPPER_SNAKE_CASE; empty if there is none.
    """

    field: str
    description: str
    reason: str = ""


class SutlerError(Exception):
    """The base of all errors that a caller is meant to see.

    Args:
        message: What happened and what to do about it, for people. Every variable in it belongs in ``metadata`` too.
        reason: A value of an ``ErrorReason`` enum without its prefix; the class's default from :data:`TABLE` if empty.
        metadata: The variables of the message.
        resource: The name of the thing concerned; becomes ResourceInfo.
        violations: Broken rules; become BadRequest, PreconditionFailure or QuotaFailure, as the class demands.
        retry_after: When a repeat makes sense; becomes RetryInfo.
        domain: The service that gave the error, such as ``cache.sutler.dev``; empty for the one that answers.
        more: How many more things are wrong than the message tells.

    Attributes:
        base: The message without a word of how many more things are wrong.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        resource: str = "",
        violations: Sequence[Violation] = (),
        retry_after: timedelta | None = None,
        domain: str = "",
        more: int = 0,
    ) -> None:
        super().__init__(message)
        self.base = message
        self.more = more
        self.code, default_reason = TABLE[type(self)]
        self.reason = reason or default_reason
        self.metadata = dict(metadata or {})
        self.resource = resource
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.domain = domain
        if resource:
            self.metadata.setdefault("resource", resource)

    @property
    def message(self) -> str:
        """What happened and what to do about it, for people."""
        return f"{self.base} (and {self.more} more)" if self.more else self.base

    def __str__(self) -> str:
        return self.message


class Invalid(SutlerError):
    """The request is wrong and stays wrong."""


class OutOfRange(SutlerError):
    """A position is past what is kept."""


class Unauthenticated(SutlerError):
    """Nobody knows who calls."""


class PermissionDenied(SutlerError):
    """The caller may not do this."""


class NotFound(SutlerError):
    """There is no such thing for this tenant."""


class AlreadyExists(SutlerError):
    """There is such a thing already."""


class Conflict(SutlerError):
    """Somebody else was first: read again, then decide."""


class FailedPrecondition(SutlerError):
    """The thing is in a state that does not allow this."""


class Exhausted(SutlerError):
    """A quota, a rate, a queue or a disk has no room."""


class Unavailable(SutlerError):
    """Something that is needed does not answer; a repeat is safe and may help."""


class DeadlineExceeded(SutlerError):
    """The time that the caller gave is over."""


class Cancelled(SutlerError):
    """The caller, or somebody who may, ended the work."""


class Unimplemented(SutlerError):
    """This deployment or release does not offer it."""


class DataLoss(SutlerError):
    """Stored data is damaged."""


class Internal(SutlerError):
    """The server failed; used by the client for errors that carry no more."""


class Unknown(SutlerError):
    """A system behind the server failed in a way that nobody can name."""


TABLE: dict[type[SutlerError], tuple[Code, str]] = {
    Invalid: (Code.INVALID_ARGUMENT, "FIELD_INVALID"),
    OutOfRange: (Code.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED"),
    Unauthenticated: (Code.UNAUTHENTICATED, "CREDENTIALS_INVALID"),
    PermissionDenied: (Code.PERMISSION_DENIED, "PERMISSION_MISSING"),
    NotFound: (Code.NOT_FOUND, "NOT_FOUND"),
    AlreadyExists: (Code.ALREADY_EXISTS, "ALREADY_EXISTS"),
    Conflict: (Code.ABORTED, "ETAG_MISMATCH"),
    FailedPrecondition: (Code.FAILED_PRECONDITION, "STATE_INVALID"),
    Exhausted: (Code.RESOURCE_EXHAUSTED, "OVERLOADED"),
    Unavailable: (Code.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
    DeadlineExceeded: (Code.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    Cancelled: (Code.CANCELLED, "CANCELLED"),
    Unimplemented: (Code.UNIMPLEMENTED, "NOT_IMPLEMENTED"),
    DataLoss: (Code.DATA_LOSS, "STORAGE_UNAVAILABLE"),
    Internal: (Code.INTERNAL, "INTERNAL"),
    Unknown: (Code.UNKNOWN, "INTERNAL"),
}
"""Every error class with its code and default reason: the only place where the two meet."""

BY_CODE: dict[Code, type[SutlerError]] = {code: kind for kind, (code, _) in TABLE.items()}
"""The class that the client raises for a code."""


def invalid(field: str, description: str, *, reason: str = "", metadata: Mapping[str, str] | None = None) -> Invalid:
    """Returns an :class:`Invalid` for one broken rule of one field."""
    return Invalid(
        f"{field}: {description}" if field else description,
        reason=reason,
        metadata={"field": field, **(metadata or {})},
        violations=[Violation(field, description, reason)],
    )


def invalid_fields(violations: Sequence[Violation]) -> Invalid:
    """Returns one :class:`Invalid` for all broken rules of a request; the first stands in the message."""
    first = violations[0]
    return Invalid(
        f"{first.field}: {first.description}" if first.field else first.description,
        metadata={"field": first.field},
        violations=violations,
        more=len(violations) - 1,
    )


def not_found(resource: str) -> NotFound:
    """Returns a :class:`NotFound` for the thing of this name."""
    return NotFound(f"{resource} does not exist", resource=resource)


def etag_mismatch(resource: str) -> Conflict:
    """Returns the :class:`Conflict` for an etag that is not the current one."""
    return Conflict(f"{resource} has changed since it was read; read it again and repeat the change", resource=resource)
