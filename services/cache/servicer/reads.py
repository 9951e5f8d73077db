"""The RPCs that read entries."""

from __future__ import annotations

from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current
from sutler.filtering import parse
from sutler.paging import fitting, page_size, parse_order_by

from services.cache.listing import ENTRIES, ENTRY_ORDER, Query
from services.cache.servicer.work import Rpcs
from services.cache.wire.entries import entry_form, row_form, to_entry, to_row


class ReadRpcs(Rpcs):
    """GetEntry, BatchGetEntries and ListEntries."""

    async def GetEntry(self, request: pb.GetEntryRequest, context: Any) -> bytes:
        form = entry_form(request.view, request.known_etag)
        return await self._work.reads.answer(current().tenant, request.cache, request.key, form)

    async def BatchGetEntries(self, request: pb.BatchGetEntriesRequest, context: Any) -> bytes:
        tenant, total = current().tenant, len(request.keys)
        start = (self._work.pager.position(tenant, "BatchGetEntries", request) or [0])[0]
        form = row_form(request.view)
        found = await self._work.reads.answers(tenant, request.cache, request.keys[start:], form)
        rows = [row if isinstance(row, bytes) else to_row(row) for row in found]
        count = fitting(map(len, rows))
        del rows[count:]
        if start + count < total:
            token = self._work.pager.token(tenant, "BatchGetEntries", request, [start + count])
            rows.append(pb.BatchGetEntriesResponse(next_page_token=token).SerializeToString())
        return b"".join(rows)

    async def ListEntries(self, request: pb.ListEntriesRequest, context: Any) -> pb.ListEntriesResponse:
        tenant = current().tenant
        query = Query(
            filter=parse(request.filter, ENTRIES),
            orders=parse_order_by(request.order_by, ENTRIES.orderable, ENTRY_ORDER),
            after=self._work.pager.position(tenant, "ListEntries", request),
            limit=page_size(request),
            prefix=request.prefix,
        )
        found = await self._work.reads.page(tenant, request.cache, query)
        entries = [
            pb.Entry() if place in found.refused else to_entry(request.cache, entry)
            for place, entry in enumerate(found.entries)
        ]
        count = fitting(entry.ByteSize() for entry in entries)
        given = [entry for place, entry in enumerate(entries[:count]) if place not in found.refused]
        answer = pb.ListEntriesResponse(entries=given)
        if found.more or count < len(entries):
            last = found.positions[count - 1]
            answer.next_page_token = self._work.pager.token(tenant, "ListEntries", request, last)
        return answer
