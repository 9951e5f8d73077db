"""The RPCs that read records."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.paging import fitting, page_size

from services.erp import faults
from services.erp.servicer.gateway import Rpcs
from services.erp.wire import records as wire


class RecordRpcs(Rpcs):
    """Reading records."""

    async def GetRecord(self, request: erp_pb2.GetRecordRequest, context: Any) -> erp_pb2.Record:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        found = await self.gateway.reading.get(link, current().principal, wire.wanted(request), request.id)
        return self.gateway.hot.message(found)

    async def BatchGetRecords(
        self, request: erp_pb2.BatchGetRecordsRequest, context: Any
    ) -> erp_pb2.BatchGetRecordsResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        start = (self.position("BatchGetRecords", request) or [0])[0]
        wanted, ids = wire.wanted(request), list(request.ids)[start:]
        view = await self.gateway.reading.view(link, current().principal, wanted)
        found = await self.gateway.reading.batch(view, ids, wanted)
        missing = list(dict.fromkeys(one for one in ids if one not in found))
        if missing and not request.allow_missing:
            raise faults.record_missing(link.name, request.model, missing)
        messages = {one: wire.record(found[one]) for one in found}
        empty = erp_pb2.Record()
        count = fitting(messages.get(one, empty).ByteSize() for one in ids)
        return erp_pb2.BatchGetRecordsResponse(
            records=[messages[one] for one in ids[:count] if one in messages],
            next_page_token=self.token("BatchGetRecords", request, [start + count] if count < len(ids) else None),
            missing_ids=[one for one in missing if one in ids[:count]],
        )

    async def SearchRecords(self, request: erp_pb2.SearchRecordsRequest, context: Any) -> erp_pb2.SearchRecordsResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        search = wire.search(request, page_size(request), self.position("SearchRecords", request))
        found = await self.gateway.searching.search(link, current().principal, wire.wanted(request), search)
        messages = [wire.record(one) for one in found.records]
        count = fitting(message.ByteSize() for message in messages)
        return erp_pb2.SearchRecordsResponse(
            records=messages[:count],
            next_page_token=self.token("SearchRecords", request, found.token(search, count)),
            total_size=found.total or 0,
            source=wire.source(found.source),
        )

    async def CountRecords(self, request: erp_pb2.CountRecordsRequest, context: Any) -> erp_pb2.CountRecordsResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        search = wire.search(request, request.limit, None)
        count, source = await self.gateway.searching.count(link, current().principal, wire.wanted(request), search)
        return erp_pb2.CountRecordsResponse(count=count, source=wire.source(source))

    async def SearchNames(self, request: erp_pb2.SearchNamesRequest, context: Any) -> erp_pb2.SearchNamesResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        search = wire.search(request, page_size(request), self.position("SearchNames", request))
        found = await self.gateway.searching.names(
            link, current().principal, wire.wanted(request), search, request.query
        )
        return erp_pb2.SearchNamesResponse(
            records=[wire.record(one) for one in found.records],
            next_page_token=self.token("SearchNames", request, found.token(search, len(found.records))),
            source=wire.source(found.source),
        )
