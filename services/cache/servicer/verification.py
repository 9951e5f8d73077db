"""The RPC that begins a verification; those about its operation are the library's."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2 as lro
from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current
from sutler.interceptors.idempotency import once
from sutler.operations.servicer import to_pb

from services.cache.servicer.work import Rpcs
from services.cache.wire.caches import cache_id


class VerificationRpcs(Rpcs):
    """VerifyCache."""

    async def VerifyCache(self, request: pb.VerifyCacheRequest, context: Any) -> lro.Operation:
        call = current()
        operation = await self._work.verifier.begin(
            call.tenant,
            cache_id(request.name),
            call.principal.actor,
            once(to_pb),
            repair=request.repair,
            metadata_only=request.metadata_only,
        )
        return to_pb(operation)
