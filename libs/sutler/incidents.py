"""Makes any exception one that a caller may see."""

from __future__ import annotations

import asyncio
import time
import uuid

import structlog

from sutler.context import Call
from sutler.errors import Cancelled, DeadlineExceeded, Internal, SutlerError

log = structlog.get_logger("sutler.errors")


def known(error: BaseException, call: Call) -> SutlerError:
    """Returns what a caller is told of an exception.

    Of one that nobody expected it is told no more than an id; the log has the rest under the same id.
    """
    if isinstance(error, SutlerError):
        return error
    if isinstance(error, asyncio.CancelledError):
        if call.deadline is not None and time.monotonic() >= call.deadline:
            return DeadlineExceeded("the deadline passed before the answer was ready")
        return Cancelled("the caller cancelled the call")
    if isinstance(error, TimeoutError):
        return DeadlineExceeded("the deadline passed before the answer was ready")
    incident = uuid.uuid4().hex
    log.error("unexpected error", incident=incident, method=call.method, exc_info=error)
    return Internal(f"internal error; incident {incident} in the server's log", metadata={"incident": incident})
