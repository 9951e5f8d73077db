"""The RPCs about stacks."""

from __future__ import annotations

from typing import Any

from google.longrunning.operations_pb2 import Operation as OperationMessage
from sutler.context import current
from sutler.filtering import parse
from sutler.interceptors.idempotency import once
from sutler.operations.servicer import to_pb
from sutler.paging import Order, Pager, page_size, parse_order_by
from sutler.resource.v1 import resource_pb2 as pb

from services.resource.adapters.fields import STACKS
from services.resource.adapters.reading import Query
from services.resource.adapters.stack_reading import StackReader
from services.resource.servicer.callers import caller
from services.resource.stacks.applying import SentStack, StackRemoval, Stacks
from services.resource.wire import outcomes
from services.resource.wire import stacks as wire

ORDER = (Order("name"),)


class StacksServicer:
    """Get, List, Apply, Preview and DeleteStack.

    Args:
        stacks: Applies and deletes stacks.
        reader: Reads them.
        pager: Makes page tokens.
    """

    def __init__(self, stacks: Stacks, reader: StackReader, pager: Pager) -> None:
        self._stacks = stacks
        self._stack_reader = reader
        self._pager = pager

    async def GetStack(self, request: pb.GetStackRequest, context: Any) -> pb.Stack:
        return wire.to_message(await self._stack_reader.stack(current().tenant, request.name))

    async def ListStacks(self, request: pb.ListStacksRequest, context: Any) -> pb.ListStacksResponse:
        tenant = current().tenant
        query = Query(
            filter=parse(request.filter, STACKS),
            orders=parse_order_by(request.order_by, STACKS.orderable, ORDER),
            after=self._pager.position(tenant, "ListStacks", request),
            size=page_size(request),
        )
        found = await self._stack_reader.list_stacks(tenant, query)
        answer = pb.ListStacksResponse(stacks=[wire.to_message(stack) for stack in found.rows])
        if found.next is not None:
            answer.next_page_token = self._pager.token(tenant, "ListStacks", request, found.next)
        return answer

    async def ApplyStack(self, request: pb.ApplyStackRequest, context: Any) -> OperationMessage:
        who = caller(request.request_id)
        outcome = await self._stacks.apply(
            who, _sent(request.stack), once=once(to_pb), validate_only=request.validate_only
        )
        return outcomes.to_message(outcome, who, request.stack.name)

    async def PreviewStack(self, request: pb.PreviewStackRequest, context: Any) -> pb.PreviewStackResponse:
        plan = await self._stacks.preview(caller(), _sent(request.stack))
        return pb.PreviewStackResponse(plan=outcomes.plan(plan))

    async def DeleteStack(self, request: pb.DeleteStackRequest, context: Any) -> OperationMessage:
        who = caller(request.request_id)
        outcome = await self._stacks.delete(
            who,
            StackRemoval(request.name, request.etag, request.allow_missing, request.force),
            once=once(to_pb),
            validate_only=request.validate_only,
        )
        return outcomes.to_message(outcome, who, request.name)


def _sent(message: pb.Stack) -> SentStack:
    return SentStack(message.name, message.etag, wire.to_template(message), message.ByteSize())
