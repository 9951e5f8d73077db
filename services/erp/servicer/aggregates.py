"""The RPC that computes figures over groups of records."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.paging import fitting, page_size

from services.erp.servicer.gateway import Rpcs
from services.erp.wire import aggregates as wire
from services.erp.wire import records


class AggregateRpcs(Rpcs):
    """Figures."""

    async def AggregateRecords(
        self, request: erp_pb2.AggregateRecordsRequest, context: Any
    ) -> erp_pb2.AggregateRecordsResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        start = (self.position("AggregateRecords", request) or [0])[0]
        found = await self.gateway.aggregating.page(
            link,
            current().principal,
            records.wanted(request),
            records.search(request, page_size(request), ["offset", start]),
            wire.groupings(request),
            wire.aggregates(request),
        )
        messages = [wire.group(one) for one in found.groups]
        count = fitting(message.ByteSize() for message in messages)
        more = found.more or count < len(messages)
        return erp_pb2.AggregateRecordsResponse(
            groups=messages[:count],
            next_page_token=self.token("AggregateRecords", request, [start + count] if more else None),
            source=records.source(found.source),
        )
