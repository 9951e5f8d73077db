"""The RPCs about operations; those that are the same for every service are the library's."""

from __future__ import annotations

from typing import Any

from google.longrunning import operations_pb2 as lro
from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.interceptors.idempotency import once
from sutler.operations.servicer import OperationBook, OperationsServicer, to_pb
from sutler.resource.v1 import resource_pb2 as pb

from services.resource.ending import Abandoned, Endings
from services.resource.servicer.callers import caller
from services.resource.wire import resources as wire


class ResourceOperationsServicer(OperationsServicer):
    """Get, List, Cancel, Wait and WatchOperation, and AbandonOperation.

    Args:
        book: Where the operations are.
        endings: Ends operations.
    """

    def __init__(self, book: OperationBook, endings: Endings) -> None:
        super().__init__(book)
        self._endings = endings

    async def CancelOperation(self, request: lro.CancelOperationRequest, context: Any) -> Empty:
        await self._endings.cancel(current().tenant, request.name)
        return Empty()

    async def AbandonOperation(self, request: pb.AbandonOperationRequest, context: Any) -> pb.AbandonOperationResponse:
        answer = await self._endings.abandon(caller(request.request_id), request.name, once=once(_abandoned))
        return _abandoned(answer)


def _abandoned(answer: Abandoned) -> pb.AbandonOperationResponse:
    return pb.AbandonOperationResponse(
        operation=to_pb(answer.operation),
        resource=None if answer.resource is None else wire.to_message(answer.resource),
        leftovers=[text[:2048] for text in answer.leftovers],
    )
