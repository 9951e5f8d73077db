"""Leases: protobuf to domain and back."""

from __future__ import annotations

import time

from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current
from sutler.wire import seconds, timestamp

from services.cache.forms import View
from services.cache.leases import Lease
from services.cache.leasing import Leased, Wish, origin
from services.cache.wire.entries import to_entry
from services.cache.wire.text import checked_text

DURATION_SECONDS = 30.0
"""How long a lease lasts, and how long a call waits for one, if the caller does not say."""

DEADLINE_MARGIN_SECONDS = 0.25
"""How long before the caller's deadline a wait ends, so that the answer arrives in time."""


def wish_of(request: pb.LeaseEntryRequest) -> Wish:
    """Returns what a request of LeaseEntry wants.

    Raises:
        Invalid: If a tag holds U+0000.
    """
    wait = seconds(request.wait_timeout) if request.HasField("wait_timeout") else DURATION_SECONDS
    deadline = current().deadline
    if deadline is not None:
        wait = max(0.0, min(wait, deadline - DEADLINE_MARGIN_SECONDS - time.monotonic()))
    return Wish(
        key=request.key,
        duration=lease_duration(request),
        wait=wait,
        max_stale=seconds(request.max_stale) if request.HasField("max_stale") else None,
        tags=tuple(dict.fromkeys(checked_text("tags", tag) for tag in request.tags)),
        origin=origin(request.request_id),
    )


def lease_duration(request: pb.LeaseEntryRequest | pb.ExtendLeaseRequest) -> float:
    """Returns for how many seconds a lease is to last."""
    return seconds(request.lease_duration) if request.HasField("lease_duration") else DURATION_SECONDS


def to_lease(cache: str, lease: Lease) -> pb.Lease:
    """Returns a lease as the API shows it."""
    return pb.Lease(cache=cache, key=lease.key, lease_token=lease.token, expire_time=timestamp(lease.expire_time))


def to_leased(cache: str, leased: Leased) -> pb.LeaseEntryResponse:
    """Returns what a call of LeaseEntry gets."""
    stale = None if leased.stale is None else to_entry(cache, leased.stale, View.FULL)
    if leased.entry is not None:
        return pb.LeaseEntryResponse(entry=to_entry(cache, leased.entry, View.FULL))
    if leased.lease is None:
        return pb.LeaseEntryResponse(stale_entry=stale)
    lease = to_lease(cache, leased.lease)
    if stale is not None:
        lease.stale_entry.CopyFrom(stale)
    return pb.LeaseEntryResponse(lease=lease)
