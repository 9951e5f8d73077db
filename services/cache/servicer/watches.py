"""The RPC that near caches follow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current
from sutler.watch import with_final_status

from services.cache.servicer.work import Rpcs
from services.cache.wire.watches import to_message, watch_of


class WatchRpcs(Rpcs):
    """WatchInvalidations."""

    def WatchInvalidations(
        self, request: pb.WatchInvalidationsRequest, context: Any
    ) -> AsyncIterator[pb.WatchInvalidationsResponse]:
        return with_final_status(
            "cache", self._told(request), lambda status: pb.WatchInvalidationsResponse(status=status)
        )

    async def _told(self, request: pb.WatchInvalidationsRequest) -> AsyncIterator[pb.WatchInvalidationsResponse]:
        async for told in self._work.watches.follow(current().tenant, watch_of(request), request.resume_token):
            yield to_message(told)
