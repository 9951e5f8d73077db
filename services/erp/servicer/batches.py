"""The RPCs that change, delete or upsert many records."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.interceptors.idempotency import once

from services.erp.servicer.gateway import Rpcs
from services.erp.wire import batches as wire


class BatchRpcs(Rpcs):
    """Batches; BatchCreateRecords is beside CreateRecord."""

    async def BatchUpdateRecords(
        self, request: erp_pb2.BatchUpdateRecordsRequest, context: Any
    ) -> erp_pb2.BatchUpdateRecordsResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        done = await self.gateway.batching.update(link, current().principal, wire.updates(request), once(wire.updated))
        return wire.updated(done)

    async def BatchDeleteRecords(self, request: erp_pb2.BatchDeleteRecordsRequest, context: Any) -> Empty:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        await self.gateway.batching.delete(link, current().principal, wire.deletion(request), once(lambda _: Empty()))
        return Empty()

    async def UpsertRecords(self, request: erp_pb2.UpsertRecordsRequest, context: Any) -> erp_pb2.UpsertRecordsResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        done = await self.gateway.upserting.upsert(
            link, current().principal, wire.upsertion(request), once(wire.upserted)
        )
        return wire.upserted(done)
