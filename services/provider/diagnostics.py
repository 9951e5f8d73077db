"""What went wrong at a provider, in words that anyone may read, and the error that it becomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntEnum

from sutler.errors import (
    Cancelled,
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    SutlerError,
    Unavailable,
)

MAX_KEPT = 100
"""How many different diagnostics a machine request keeps."""


class Category(IntEnum):
    """What kind of trouble it is, the worst first; the numbers of the contract."""

    AUTH = 1
    VALIDATION = 2
    CAPACITY = 3
    RATE_LIMIT = 4
    DEADLINE = 5
    INTERNAL = 6
    CANCELED = 7
    UNKNOWN = 8


class Kind(IntEnum):
    """What can be done about it; the numbers of the contract."""

    TRANSIENT = 1
    PERMANENT = 2
    CAPACITY = 3
    UNKNOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """One thing that went wrong.

    Attributes:
        category: What kind of trouble it is.
        kind: What can be done about it.
        code: The provider's code, such as ``ENOENT``.
        summary: What happened, for people; no secret and no raw message is in it.
        provider: The name of the provider where it happened.
        region: The region where it happened.
        native_id: The provider's id of the machine that it is about.
        field: The field that it is about.
        count: How often it happened.
        first_time: When it first happened, seconds since 1970.
        last_time: When it last happened.
        retry_seconds: How long to wait before it is tried again, where the provider says so; 0 if it does not.
    """

    category: Category
    kind: Kind
    code: str
    summary: str
    provider: str = ""
    region: str = ""
    native_id: str = ""
    field: str = ""
    count: int = 1
    first_time: float = 0.0
    last_time: float = 0.0
    retry_seconds: float = 0.0

    @property
    def retryable(self) -> bool:
        """Whether asking the same again may help."""
        return self.kind in (Kind.TRANSIENT, Kind.CAPACITY)


class ProviderFailed(Exception):
    """A provider did not do what it was asked to; raised by adapters.

    Args:
        diagnostic: What went wrong.
    """

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.summary)
        self.diagnostic = diagnostic


def merged(known: Iterable[Diagnostic], new: Diagnostic, now: float) -> tuple[Diagnostic, ...]:
    """Returns the diagnostics with one more, the worst first; like ones are counted together."""
    new = replace(new, first_time=new.first_time or now, last_time=now)
    found: list[Diagnostic] = []
    for old in known:
        if _alike(old, new):
            new = replace(new, count=old.count + new.count, first_time=old.first_time)
        else:
            found.append(old)
    return tuple(sorted([*found, new], key=lambda d: (d.category, -d.count))[:MAX_KEPT])


def _alike(a: Diagnostic, b: Diagnostic) -> bool:
    return (a.category, a.kind, a.code, a.provider, a.region, a.field) == (
        b.category,
        b.kind,
        b.code,
        b.provider,
        b.region,
        b.field,
    )


def to_error(diagnostic: Diagnostic, resource: str) -> SutlerError:
    """Returns the error that an operation ends with for its worst diagnostic.

    Args:
        diagnostic: The worst one.
        resource: The name of what failed, such as a machine request.
    """
    metadata = {"provider": diagnostic.provider, "code": diagnostic.code}
    retry_after = timedelta(seconds=diagnostic.retry_seconds) if diagnostic.retry_seconds else None
    kind, reason = _ERRORS[diagnostic.category]
    return kind(diagnostic.summary, reason=reason, metadata=metadata, resource=resource, retry_after=retry_after)


_ERRORS: dict[Category, tuple[type[SutlerError], str]] = {
    Category.AUTH: (FailedPrecondition, "CREDENTIALS_REJECTED"),
    Category.VALIDATION: (FailedPrecondition, "PROVIDER_REFUSED"),
    Category.CAPACITY: (Exhausted, "CAPACITY_MISSING"),
    Category.RATE_LIMIT: (Exhausted, "THROTTLED"),
    Category.DEADLINE: (DeadlineExceeded, "DEADLINE_EXCEEDED"),
    Category.INTERNAL: (Unavailable, "DEPENDENCY_UNAVAILABLE"),
    Category.CANCELED: (Cancelled, "CANCELLED"),
    Category.UNKNOWN: (FailedPrecondition, "PROVIDER_REFUSED"),
}
