"""The RPCs that write records and call methods."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.interceptors.idempotency import once

from services.erp.servicer.gateway import Rpcs
from services.erp.wire import records as wire


class WriteRpcs(Rpcs):
    """Writing records."""

    async def CreateRecord(self, request: erp_pb2.CreateRecordRequest, context: Any) -> erp_pb2.Record:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        made = await self.gateway.creating.create(
            link, current().principal, wire.creation(request), once(wire.created_one)
        )
        return wire.created_one(made)

    async def UpdateRecord(self, request: erp_pb2.UpdateRecordRequest, context: Any) -> erp_pb2.Record:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        changed = await self.gateway.writing.update(link, current().principal, wire.update(request), once(wire.record))
        return wire.record(changed)

    async def DeleteRecord(self, request: erp_pb2.DeleteRecordRequest, context: Any) -> Empty:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        await self.gateway.writing.delete(link, current().principal, wire.deletion(request), once(lambda _: Empty()))
        return Empty()

    async def BatchCreateRecords(
        self, request: erp_pb2.BatchCreateRecordsRequest, context: Any
    ) -> erp_pb2.BatchCreateRecordsResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        made = await self.gateway.creating.create(
            link, current().principal, wire.creations(request), once(wire.created)
        )
        return wire.created(made)

    async def CallMethod(self, request: erp_pb2.CallMethodRequest, context: Any) -> erp_pb2.CallMethodResponse:
        """See the contract."""
        link = await self.gateway.link(request.connection)
        answer = await self.gateway.writing.call(link, current().principal, wire.invocation(request), once(wire.answer))
        return wire.answer(answer)
