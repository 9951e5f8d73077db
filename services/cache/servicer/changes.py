"""The RPCs that change entries."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.cache.v1 import cache_pb2 as pb
from sutler.context import current
from sutler.interceptors.idempotency import once

from services.cache.changing import granted
from services.cache.forms import View
from services.cache.servicer.work import Rpcs
from services.cache.wire.entries import to_delete_result, to_entry, to_result
from services.cache.wire.puts import put_of, puts_of, seed, selector_of, ttl_of


class ChangeRpcs(Rpcs):
    """PutEntry, DeleteEntry, TouchEntry, their batches, IncrementEntry and InvalidateEntries."""

    async def PutEntry(self, request: pb.PutEntryRequest, context: Any) -> pb.Entry:
        [result] = await self._work.changes.put(current().tenant, request.cache, [put_of(request)])
        return to_entry(request.cache, granted(result))

    async def BatchPutEntries(self, request: pb.BatchPutEntriesRequest, context: Any) -> pb.BatchPutEntriesResponse:
        results = await self._work.changes.put(current().tenant, request.cache, puts_of(request))
        return pb.BatchPutEntriesResponse(results=[to_result(request.cache, result) for result in results])

    async def DeleteEntry(self, request: pb.DeleteEntryRequest, context: Any) -> Empty:
        await self._work.changes.delete_one(
            current().tenant,
            request.cache,
            request.key,
            request.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )
        return Empty()

    async def BatchDeleteEntries(
        self, request: pb.BatchDeleteEntriesRequest, context: Any
    ) -> pb.BatchDeleteEntriesResponse:
        rows = [(row.key, row.etag) for row in request.rows]
        results = await self._work.changes.delete(
            current().tenant, request.cache, rows, allow_missing=request.allow_missing
        )
        return pb.BatchDeleteEntriesResponse(results=map(to_delete_result, results))

    async def TouchEntry(self, request: pb.TouchEntryRequest, context: Any) -> pb.Entry:
        row = (request.key, ttl_of(request), request.etag)
        [result] = await self._work.changes.touch(current().tenant, request.cache, [row])
        return to_entry(request.cache, granted(result))

    async def BatchTouchEntries(
        self, request: pb.BatchTouchEntriesRequest, context: Any
    ) -> pb.BatchTouchEntriesResponse:
        rows = [(row.key, ttl_of(row), row.etag) for row in request.rows]
        results = await self._work.changes.touch(current().tenant, request.cache, rows)
        return pb.BatchTouchEntriesResponse(results=[to_result(request.cache, result) for result in results])

    async def IncrementEntry(self, request: pb.IncrementEntryRequest, context: Any) -> pb.Entry:
        result = await self._work.changes.increment(
            current().tenant,
            request.cache,
            request.key,
            delta=request.delta if request.HasField("delta") else 1,
            initial=request.initial_value,
            ttl=ttl_of(request),
            seed=seed(request.request_id),
            once=once(lambda entry: to_entry(request.cache, entry, View.FULL)),
        )
        return to_entry(request.cache, granted(result), View.FULL)

    async def InvalidateEntries(
        self, request: pb.InvalidateEntriesRequest, context: Any
    ) -> pb.InvalidateEntriesResponse:
        count = await self._work.invalidations.run(
            current().tenant,
            request.cache,
            selector_of(request),
            once(lambda count: pb.InvalidateEntriesResponse(invalidated_count=count)),
            expire_only=request.expire_only,
            validate_only=request.validate_only,
        )
        return pb.InvalidateEntriesResponse(invalidated_count=count)
