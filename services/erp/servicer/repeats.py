"""Who may have the first answer to a repeated request: whoever may reach all that the request names."""

from __future__ import annotations

from typing import Any

from sutler.auth import authorize
from sutler.context import current
from sutler.erp.v1 import erp_pb2

from services.erp.servicer.gateway import Gateway
from services.erp.transactions.planning import PERMISSIONS
from services.erp.wanting import Wanted
from services.erp.wire import transactions as wire
from services.erp.wire.records import call_context


class Repeats:
    """Checks for repeats what their handlers would: an answer tells what its fields lead to.

    Args:
        gateway: The domain.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def permit(self, request: Any) -> None:
        """Returns if the current caller may have the first answer to a request.

        Raises:
            PermissionDenied: If they may not reach one of its models.
            SutlerError: Why the ERP, which knows where fields lead, cannot be asked.
        """
        principal = current().principal
        if isinstance(request, erp_pb2.RunTransactionRequest):
            connection = request.parent.partition("/")[2]
            for step in wire.wish(request).steps:
                authorize(principal, PERMISSIONS[step.kind], [f"{connection}/{step.model}"])
        elif any("." in path for path in getattr(request, "fields", ())):
            link = await self._gateway.link(request.connection)
            wanted = Wanted(model=request.model, fields=tuple(request.fields), context=call_context(request))
            await self._gateway.reading.view(link, principal, wanted)
