"""What says that a cache cannot serve now, and what a call makes of that."""

from __future__ import annotations

import logging

from sutler.client.cache.leases import Policy
from sutler.errors import (
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    Exhausted,
    Internal,
    SutlerError,
    Unavailable,
    Unknown,
)

OUTAGES = (Unavailable, DeadlineExceeded, Internal, Unknown, Exhausted, DataLoss, Cancelled)
"""Errors that say that the cache cannot serve now; all others say that the call is wrong, and are raised."""

log = logging.getLogger(__name__)


def do_without(cache: str, error: SutlerError, policy: Policy) -> None:
    """Lets a call go on without the cache. Raises the error if the call requires it."""
    if policy.required:
        raise error
    log.warning("%s does not serve, values are computed without it: %s", cache, error)
