"""The RPC of figures."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2

from services.erp.servicer.gateway import Rpcs, connection_id
from services.erp.wire.plain import fill


class StatisticsRpcs(Rpcs):
    """Figures."""

    async def GetConnectionStats(
        self, request: erp_pb2.GetConnectionStatsRequest, context: Any
    ) -> erp_pb2.ConnectionStats:
        """See the contract."""
        found = await self.gateway.statistics.get(current().tenant, connection_id(request.name))
        return fill(erp_pb2.ConnectionStats(), found)
