"""The RPCs that move many records: exports and imports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.watch import with_final_status

from services.erp.imports.running import Rows
from services.erp.servicer.gateway import AREA, Rpcs, connection_id, last_id
from services.erp.wire import transfers as wire


class TransferRpcs(Rpcs):
    """Exports and imports."""

    def ExportRecords(
        self, request: erp_pb2.ExportRecordsRequest, context: Any
    ) -> AsyncIterator[erp_pb2.ExportRecordsResponse]:
        """See the contract."""
        return with_final_status(
            AREA, self._exported(request), lambda status: erp_pb2.ExportRecordsResponse(status=status)
        )

    async def _exported(self, request: erp_pb2.ExportRecordsRequest) -> AsyncIterator[erp_pb2.ExportRecordsResponse]:
        link = await self.gateway.link(request.connection)
        chunks = self.gateway.exporting.export(link, current().principal, wire.export(request), wire.encoded)
        async for chunk in chunks:
            yield wire.exported(chunk)

    def ImportRecords(
        self, requests: AsyncIterator[erp_pb2.ImportRecordsRequest], context: Any
    ) -> AsyncIterator[erp_pb2.ImportRecordsResponse]:
        """See the contract."""
        return with_final_status(
            AREA, self._imported(requests), lambda status: erp_pb2.ImportRecordsResponse(status=status)
        )

    async def _imported(
        self, requests: AsyncIterator[erp_pb2.ImportRecordsRequest]
    ) -> AsyncIterator[erp_pb2.ImportRecordsResponse]:
        first = await anext(requests, erp_pb2.ImportRecordsRequest())
        spec = wire.opening(first)
        link = await self.gateway.link(first.connection)
        rows = self._rows(first, requests)
        async for progress in self.gateway.importing.run(link, current().principal, first.import_id, spec, rows):
            yield wire.progress(progress)

    async def _rows(
        self, first: erp_pb2.ImportRecordsRequest, requests: AsyncIterator[erp_pb2.ImportRecordsRequest]
    ) -> AsyncIterator[Rows]:
        if first.rows:
            yield wire.rows(first)
        async for request in requests:
            yield wire.rows(request)

    async def GetImport(self, request: erp_pb2.GetImportRequest, context: Any) -> erp_pb2.Import:
        """See the contract."""
        found = await self.gateway.imports.get(current().tenant, connection_id(request.name), last_id(request.name))
        return wire.import_(found)
