"""The RPCs that move many records: exports and imports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.watch import with_final_status

from services.erp.servicer.gateway import AREA, Rpcs
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
