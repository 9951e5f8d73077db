"""The RPCs about leases."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current
from sutler.interceptors.idempotency import once

from services.cache.servicer.work import Rpcs
from services.cache.wire.leases import lease_duration, to_lease, to_leased, wish_of


class LeaseRpcs(Rpcs):
    """LeaseEntry, ExtendLease and ReleaseLease."""

    async def LeaseEntry(self, request: pb.LeaseEntryRequest, context: Any) -> pb.LeaseEntryResponse:
        leased = await self._work.leases.lease(current().tenant, request.cache, wish_of(request))
        return to_leased(request.cache, leased)

    async def ExtendLease(self, request: pb.ExtendLeaseRequest, context: Any) -> pb.Lease:
        lease = await self._work.leases.extend(
            current().tenant,
            request.cache,
            request.key,
            request.lease_token,
            lease_duration(request),
            once(lambda lease: to_lease(request.cache, lease)),
        )
        return to_lease(request.cache, lease)

    async def ReleaseLease(self, request: pb.ReleaseLeaseRequest, context: Any) -> Empty:
        remembered = once(lambda _: Empty())
        await self._work.leases.release(current().tenant, request.cache, request.key, request.lease_token, remembered)
        return Empty()
