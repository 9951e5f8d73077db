"""The RPCs that read records."""

from __future__ import annotations

from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.paging import MAX_PAGE_BYTES, fitting, page_size

from services.erp import faults
from services.erp.servicer.gateway import Rpcs
from services.erp.wire import records as wire

MAX_RECORD_BYTES = 4 * 1024 * 1024 - 64 * 1024
"""The largest record that fits into an answer, with what stands beside it."""

FIRST_BINARIES = 4
"""Of how many records binaries are read first; then of twice as many, until a page is full."""


class RecordRpcs(Rpcs):
    """Reading records."""

    async def GetRecord(self, request: erp_pb2.GetRecordRequest, context: Any) -> erp_pb2.Record:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        found = await self.gateway.reading.get(link, current().principal, wire.wanted(request), request.id)
        return _sendable(link.name, self.gateway.hot.message(found))

    async def BatchGetRecords(
        self, request: erp_pb2.BatchGetRecordsRequest, context: Any
    ) -> erp_pb2.BatchGetRecordsResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        start = (self.position("BatchGetRecords", request) or [0])[0]
        wanted, ids = wire.wanted(request), list(request.ids)[start:]
        view = await self.gateway.reading.view(link, current().principal, wanted)
        messages: dict[int, erp_pb2.Record] = {}
        missing: dict[int, None] = {}
        read, part, size = 0, FIRST_BINARIES if wanted.binaries else len(ids), 0
        while read < len(ids) and size <= MAX_PAGE_BYTES:
            asked = ids[read : read + part]
            found = await self.gateway.reading.batch(view, asked, wanted)
            missing |= dict.fromkeys(one for one in asked if one not in found)
            if missing and not request.allow_missing:
                raise faults.record_missing(link.name, request.model, missing)
            messages |= {one: _sendable(link.name, wire.record(found[one])) for one in found}
            read, part, size = read + len(asked), 2 * part, sum(one.ByteSize() for one in messages.values())
        empty = erp_pb2.Record()
        count = fitting(messages.get(one, empty).ByteSize() for one in ids[:read])
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
        messages = [_sendable(link.name, wire.record(one)) for one in found.records]
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


def _sendable(connection: str, message: erp_pb2.Record) -> erp_pb2.Record:
    """Returns a record that fits into an answer.

    Raises:
        Exhausted: If it does not (TOO_LARGE).
    """
    size = message.ByteSize()
    if size > MAX_RECORD_BYTES:
        values = message.values.fields
        field = max(values, key=lambda name: values[name].ByteSize(), default="")
        raise faults.record_too_large(connection, message.model, message.id, field, size, MAX_RECORD_BYTES)
    return message
