"""Errors of plug-ins in the service's own words: what kind of trouble it is, and whether a repeat may help."""

from __future__ import annotations

from sutler.errors import (
    Conflict,
    DeadlineExceeded,
    Exhausted,
    Internal,
    Invalid,
    PermissionDenied,
    SutlerError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)

from services.provider.diagnostics import Category, Diagnostic, Kind

TRANSIENT = (Unavailable, DeadlineExceeded, Exhausted, Conflict)
"""What may go away: the call is repeated under the same key."""

UNKNOWN_OUTCOME = "OUTCOME_UNKNOWN"
CAPACITY = frozenset({"CAPACITY_MISSING", "PROVIDER_QUOTA_EXCEEDED"})
FINAL = CAPACITY | {UNKNOWN_OUTCOME}
"""Reasons of such errors that end a launch all the same: whether another one follows is the request's to say."""

MAX_CODE = 128
MAX_SUMMARY = 1024


def broken(type: str, method: str, cause: str) -> Internal:
    """Returns the error for an answer that the contract does not allow (PLUGIN_INVALID)."""
    return Internal(
        f"the plug-in of type {type} broke its contract in {method}: {cause}",
        reason="PLUGIN_INVALID",
        metadata={"type": type, "method": method, "cause": cause},
    )


def diagnosed(error: SutlerError) -> Diagnostic:
    """Returns an error as what went wrong with a machine or a provider."""
    category, kind = _sort(error)
    return Diagnostic(
        category=category,
        kind=kind,
        code=error.reason[:MAX_CODE],
        summary=error.message[:MAX_SUMMARY],
        retry_seconds=error.retry_after.total_seconds() if error.retry_after else 0.0,
    )


def _sort(error: SutlerError) -> tuple[Category, Kind]:
    reason = error.reason
    if reason == UNKNOWN_OUTCOME:
        return Category.UNKNOWN, Kind.UNKNOWN
    if reason == "CREDENTIALS_REJECTED" or isinstance(error, Unauthenticated | PermissionDenied):
        return Category.AUTH, Kind.PERMANENT
    if reason in CAPACITY:
        return Category.CAPACITY, Kind.CAPACITY
    if isinstance(error, Exhausted):
        return Category.RATE_LIMIT, Kind.TRANSIENT
    if isinstance(error, DeadlineExceeded):
        return Category.DEADLINE, Kind.TRANSIENT
    if isinstance(error, Unavailable | Conflict):
        return Category.INTERNAL, Kind.TRANSIENT
    if isinstance(error, Internal | Unimplemented):
        return Category.INTERNAL, Kind.PERMANENT
    if isinstance(error, Invalid) or reason in ("PROVIDER_REFUSED", "IMAGE_NOT_FOUND", "CAPABILITY_MISSING"):
        return Category.VALIDATION, Kind.PERMANENT
    return Category.UNKNOWN, Kind.PERMANENT
