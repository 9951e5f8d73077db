"""The RPCs of connections and drivers."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler.context import current
from sutler.erp.v1 import erp_pb2
from sutler.filtering import parse, position
from sutler.interceptors.idempotency import once
from sutler.masks import clear_output_only, merge
from sutler.paging import fitting, page_size, parse_order_by

from services.erp import filters
from services.erp.ports import Query
from services.erp.servicer.gateway import Rpcs, connection_id
from services.erp.wire import connections as wire

TYPED_MODELS = ("res.partner", "sale.order")


class ConnectionRpcs(Rpcs):
    """Connections."""

    async def GetConnection(self, request: erp_pb2.GetConnectionRequest, context: Any) -> erp_pb2.Connection:
        """See the contract."""
        found = await self.gateway.administration.get(current().tenant, connection_id(request.name))
        return wire.connection(found)

    async def ListConnections(
        self, request: erp_pb2.ListConnectionsRequest, context: Any
    ) -> erp_pb2.ListConnectionsResponse:
        """See the contract."""
        schema, size = filters.CONNECTIONS, page_size(request)
        orders = parse_order_by(request.order_by, schema.orderable, filters.BY_NAME)
        query = Query(parse(request.filter, schema), orders, self.position("ListConnections", request), size + 1)
        found = await self.gateway.administration.page(current().tenant, query)
        messages = [wire.connection(one) for one in found[:size]]
        count = fitting(message.ByteSize() for message in messages)
        after = position(filters.connection_fields(found[count - 1]), orders, schema) if count < len(found) else None
        return erp_pb2.ListConnectionsResponse(
            connections=messages[:count], next_page_token=self.token("ListConnections", request, after)
        )

    async def CreateConnection(self, request: erp_pb2.CreateConnectionRequest, context: Any) -> erp_pb2.Connection:
        """See the contract."""
        call = current()
        clear_output_only(request.connection)
        made = await self.gateway.administration.create(
            call.tenant,
            request.connection_id,
            call.principal.actor,
            lambda stored: wire.settings(request.connection),
            once(wire.connection),
            validate_only=request.validate_only,
        )
        return wire.connection(made)

    async def UpdateConnection(self, request: erp_pb2.UpdateConnectionRequest, context: Any) -> erp_pb2.Connection:
        """See the contract."""
        call = current()
        mask = request.update_mask if request.HasField("update_mask") else None
        changed = await self.gateway.administration.update(
            call.tenant,
            connection_id(request.connection.name),
            call.principal,
            lambda stored: wire.settings(
                merge(
                    wire.stored(stored) if stored else erp_pb2.Connection(name=request.connection.name),
                    request.connection,
                    mask if stored else None,
                )
            ),
            once(wire.connection),
            etag=request.connection.etag,
            allow_missing=request.allow_missing,
            validate_only=request.validate_only,
        )
        return wire.connection(changed)

    async def DeleteConnection(self, request: erp_pb2.DeleteConnectionRequest, context: Any) -> Empty:
        """See the contract."""
        await self.gateway.administration.delete(
            current().tenant,
            connection_id(request.name),
            once(lambda _: Empty()),
            etag=request.etag,
            allow_missing=request.allow_missing,
            force=request.force,
            validate_only=request.validate_only,
        )
        return Empty()

    async def CheckConnection(
        self, request: erp_pb2.CheckConnectionRequest, context: Any
    ) -> erp_pb2.CheckConnectionResponse:
        """See the contract."""
        call = current()
        models = request.models or TYPED_MODELS
        found = await self.gateway.administration.check(
            call.tenant, connection_id(request.name), call.principal, models
        )
        return wire.checked(found)

    async def ListDrivers(self, request: erp_pb2.ListDriversRequest, context: Any) -> erp_pb2.ListDriversResponse:
        """See the contract."""
        after = (self.position("ListDrivers", request) or [""])[0]
        drivers = self.gateway.administration.drivers.infos
        names = [name for name in sorted(drivers) if name > after]
        page = names[: page_size(request)]
        return erp_pb2.ListDriversResponse(
            drivers=[wire.driver(drivers[name]) for name in page],
            next_page_token=self.token("ListDrivers", request, page[-1:] if len(page) < len(names) else None),
        )
