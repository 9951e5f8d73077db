"""The RPC that tells what happens in a cache."""

from __future__ import annotations

from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current

from services.cache.servicer.work import Rpcs
from services.cache.wire.caches import cache_id
from services.cache.wire.statistics import to_stats


class StatisticsRpcs(Rpcs):
    """GetCacheStats."""

    async def GetCacheStats(self, request: pb.GetCacheStatsRequest, context: Any) -> pb.CacheStats:
        return to_stats(await self._work.statistics.get(current().tenant, cache_id(request.name)))
