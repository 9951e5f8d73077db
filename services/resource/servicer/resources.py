"""The RPCs that read and change resources."""

from __future__ import annotations

from typing import Any

from google.longrunning.operations_pb2 import Operation as OperationMessage
from sutler.context import current
from sutler.filtering import parse
from sutler.interceptors.idempotency import once
from sutler.operations.servicer import to_pb
from sutler.paging import Order, Pager, page_size, parse_order_by
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import from_struct

from services.resource.adapters.fields import RESOURCES
from services.resource.adapters.reading import Query, Reader, Within
from services.resource.declaring import Declarations
from services.resource.handling import Invocation
from services.resource.invoking import Invocations
from services.resource.proposing import Sent
from services.resource.removing import Removal, Removals
from services.resource.servicer.callers import caller
from services.resource.wire import outcomes
from services.resource.wire import resources as wire

ORDER = (Order("name"),)


class ResourcesServicer:
    """Get, List, BatchGet, Create, Update and DeleteResource, and InvokeAction.

    Args:
        declarations: Creates and updates resources.
        removals: Deletes them.
        invocations: Has actions carried out on them.
        reader: Reads them.
        pager: Makes page tokens.
    """

    def __init__(
        self, declarations: Declarations, removals: Removals, invocations: Invocations, reader: Reader, pager: Pager
    ) -> None:
        self._declarations = declarations
        self._removals = removals
        self._invocations = invocations
        self._reader = reader
        self._pager = pager

    async def GetResource(self, request: pb.GetResourceRequest, context: Any) -> bytes:
        return await self._reader.resource(current().tenant, request.name)

    async def BatchGetResources(self, request: pb.BatchGetResourcesRequest, context: Any) -> bytes:
        tenant = current().tenant
        position = self._pager.position(tenant, "BatchGetResources", request)
        batch = await self._reader.batch(
            tenant, request.parent, request.names, position[0] if position else 0, missing_ok=request.allow_missing
        )
        rest = pb.BatchGetResourcesResponse(missing=batch.missing)
        if batch.next is not None:
            rest.next_page_token = self._pager.token(tenant, "BatchGetResources", request, [batch.next])
        return wire.with_resources(rest, batch.found)

    async def ListResources(self, request: pb.ListResourcesRequest, context: Any) -> bytes:
        tenant = current().tenant
        query = Query(
            filter=parse(request.filter, RESOURCES),
            orders=parse_order_by(request.order_by, RESOURCES.orderable, ORDER),
            after=self._pager.position(tenant, "ListResources", request),
            size=page_size(request),
        )
        show = wire.masked(request.read_mask if request.HasField("read_mask") else None)
        found = await self._reader.list_resources(
            tenant, Within(request.parent, request.recursive, request.type), query
        )
        rest = pb.ListResourcesResponse()
        if found.next is not None:
            rest.next_page_token = self._pager.token(tenant, "ListResources", request, found.next)
        return wire.with_resources(rest, map(show, found.rows))

    async def CreateResource(self, request: pb.CreateResourceRequest, context: Any) -> OperationMessage:
        who, message = caller(request.request_id), request.resource
        outcome = await self._declarations.create(
            who,
            request.parent,
            request.resource_id,
            Sent(message.type, "", wire.created(message), message.ByteSize()),
            once=once(to_pb),
            validate_only=request.validate_only,
        )
        return outcomes.to_message(outcome, who, request.parent)

    async def UpdateResource(self, request: pb.UpdateResourceRequest, context: Any) -> OperationMessage:
        who, message = caller(request.request_id), request.resource
        mask = request.update_mask if request.HasField("update_mask") else None
        outcome = await self._declarations.update(
            who,
            message.name,
            Sent(message.type, message.etag, wire.updated(message, mask), message.ByteSize()),
            allow_missing=request.allow_missing,
            once=once(to_pb),
            validate_only=request.validate_only,
        )
        return outcomes.to_message(outcome, who, message.name)

    async def InvokeAction(self, request: pb.InvokeActionRequest, context: Any) -> OperationMessage:
        who = caller(request.request_id)
        outcome = await self._invocations.invoke(
            who,
            request.name,
            Invocation(request.action, from_struct(request.parameters)),
            etag=request.etag,
            once=once(to_pb),
            validate_only=request.validate_only,
        )
        return outcomes.to_message(outcome, who, request.name)

    async def DeleteResource(self, request: pb.DeleteResourceRequest, context: Any) -> OperationMessage:
        who = caller(request.request_id)
        outcome = await self._removals.delete(
            who,
            Removal(request.name, request.etag, request.allow_missing, request.force, who.cause),
            once=once(to_pb),
            validate_only=request.validate_only,
        )
        return outcomes.to_message(outcome, who, request.name)
