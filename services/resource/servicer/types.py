"""The RPCs about resource types."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.filtering import parse
from sutler.interceptors.idempotency import once
from sutler.paging import Order, Pager, page_size, parse_order_by
from sutler.resource.v1 import resource_pb2 as pb

from services.resource.adapters.fields import TYPES
from services.resource.adapters.reading import Query, Reader
from services.resource.registering import Registrations, SentType
from services.resource.servicer.callers import caller
from services.resource.wire import types as wire

PREFIX = "resourceTypes/"
ORDER = (Order("name"),)


class TypesServicer:
    """Get, List, Create, Update and DeleteResourceType.

    Args:
        registrations: Registers types.
        reader: Reads them.
        pager: Makes page tokens.
    """

    def __init__(self, registrations: Registrations, reader: Reader, pager: Pager) -> None:
        self._registrations = registrations
        self._reader = reader
        self._pager = pager

    async def GetResourceType(self, request: pb.GetResourceTypeRequest, context: Any) -> pb.ResourceType:
        return wire.to_message(await self._registrations.get(current().tenant, _id(request.name)))

    async def ListResourceTypes(
        self, request: pb.ListResourceTypesRequest, context: Any
    ) -> pb.ListResourceTypesResponse:
        tenant = current().tenant
        query = Query(
            filter=parse(request.filter, TYPES),
            orders=parse_order_by(request.order_by, TYPES.orderable, ORDER),
            after=self._pager.position(tenant, "ListResourceTypes", request),
            size=page_size(request),
        )
        found = await self._reader.list_types(tenant, query)
        answer = pb.ListResourceTypesResponse(resource_types=[wire.to_message(type) for type in found.rows])
        if found.next is not None:
            answer.next_page_token = self._pager.token(tenant, "ListResourceTypes", request, found.next)
        return answer

    async def CreateResourceType(self, request: pb.CreateResourceTypeRequest, context: Any) -> pb.ResourceType:
        sent = SentType(
            request.resource_type_id, "", wire.created(request.resource_type), request.resource_type.parent_type
        )
        type = await self._registrations.create(
            caller(request.request_id), sent, once=once(wire.to_message), validate_only=request.validate_only
        )
        return wire.to_message(type)

    async def UpdateResourceType(self, request: pb.UpdateResourceTypeRequest, context: Any) -> pb.ResourceType:
        message = request.resource_type
        mask = request.update_mask if request.HasField("update_mask") else None
        type = await self._registrations.update(
            caller(request.request_id),
            SentType(_id(message.name), message.etag, wire.updated(message, mask), message.parent_type),
            allow_missing=request.allow_missing,
            once=once(wire.to_message),
            validate_only=request.validate_only,
        )
        return wire.to_message(type)

    async def DeleteResourceType(self, request: pb.DeleteResourceTypeRequest, context: Any) -> Empty:
        await self._registrations.delete(
            caller(request.request_id),
            _id(request.name),
            etag=request.etag,
            allow_missing=request.allow_missing,
            once=once(lambda _: Empty()),
            validate_only=request.validate_only,
        )
        return Empty()


def _id(name: str) -> str:
    return name.removeprefix(PREFIX)
