"""Which errors pass by themselves or by what an operator does, so that it makes sense to try again later."""

from __future__ import annotations

from sutler.errors import Exhausted, SutlerError, Unavailable

_REASONS = frozenset(
    {
        "CONNECTION_DISABLED",
        "DATABASE_NOT_FOUND",
        "LOGIN_REFUSED",
        "SECRET_UNREADABLE",
        "USER_MAPPING_MISSING",
        "WRITE_CONFLICT",
    }
)


def passes(error: SutlerError) -> bool:
    """Returns whether the same call may go well later, without a change of what it asks for."""
    return isinstance(error, Unavailable | Exhausted) or error.reason in _REASONS
