"""The errors of storage, in the same words for every engine."""

from __future__ import annotations

from datetime import timedelta

from sutler.errors import DataLoss, Exhausted, Unavailable

RETRY_AFTER = timedelta(seconds=1)
LOCKED = "locked too long"


def full() -> Exhausted:
    """Returns the error for a disk without room; nothing was changed."""
    return Exhausted(
        "the disk of the database is full, and nothing was changed: the operator must make room; then repeat",
        reason="STORAGE_FULL",
        retry_after=RETRY_AFTER,
    )


def unavailable(cause: str) -> Unavailable:
    """Returns the error for a database that does not answer.

    Args:
        cause: What is wrong, in a few words that tell nothing about hosts, paths or data.
    """
    return Unavailable(
        f"the database does not answer ({cause}); try again",
        reason="STORAGE_UNAVAILABLE",
        metadata={"cause": cause},
        retry_after=RETRY_AFTER,
    )


def outcome_unknown() -> Unavailable:
    """Returns the error for a connection that broke while COMMIT was under way."""
    cause = "connection lost while committing"
    return Unavailable(
        f"the database does not answer ({cause}): the change may be stored; repeat it with the same request_id",
        reason="STORAGE_UNAVAILABLE",
        metadata={"cause": cause},
        retry_after=RETRY_AFTER,
    )


def damaged() -> DataLoss:
    """Returns the error for a database that is malformed."""
    return DataLoss("the database is damaged; the operator must restore it", reason="STORAGE_UNAVAILABLE")
