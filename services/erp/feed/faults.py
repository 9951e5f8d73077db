"""The errors that only the feed gives, one function for each reason of the contract."""

from __future__ import annotations

from sutler.errors import Conflict, Exhausted, FailedPrecondition


def records_missing(connection: str, model: str, count: int) -> FailedPrecondition:
    """So many records went at once that they are not told as deleted yet."""
    return FailedPrecondition(
        f"{count} records of {model} are missing at once in {connection}; check what its user may see in the ERP: if "
        "they stay missing, they are told as deleted after SUTLER_ERP_MASS_DELETE_HOLD_SECONDS",
        reason="RECORDS_MISSING",
        metadata={"connection": connection, "model": model, "count": str(count)},
    )


def erp_user_changed(connection: str, caller: str) -> Conflict:
    """A watch is of what another user of the ERP sees than the one that its caller works as now."""
    return Conflict(
        f"{caller} works as another user of the ERP in {connection} now; watch anew without resume_token",
        reason="ERP_USER_CHANGED",
        metadata={"connection": connection, "caller": caller},
    )


def watches_limited(connection: str, caller: str, most: int) -> Exhausted:
    """A caller has begun too many different watches."""
    return Exhausted(
        f"{caller} has {most} different watches of {connection}; share them, or wait: one without a reader is "
        "forgotten after SUTLER_ERP_WATCH_IDLE_SECONDS. The operator can raise SUTLER_ERP_MAX_WATCHES",
        reason="WATCHES_LIMITED",
        metadata={"connection": connection, "caller": caller, "limit": str(most)},
    )
