"""The RPCs about machine requests: ask for machines, give them back, follow and cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.longrunning.operations_pb2 import Operation
from sutler.context import current
from sutler.interceptors.idempotency import once
from sutler.operations.servicer import to_pb
from sutler.provider.v1 import provider_pb2 as pb
from sutler.watch import Batch, with_final_status

from services.provider import acquiring, declaring, returning
from services.provider.ending import cancel
from services.provider.ports import Book, Noticed
from services.provider.requests import MachineRequest
from services.provider.servicer.parts import Parts
from services.provider.wire import requests as wire


class RequestRpcs:
    """Request and return machines; Get, List, Watch and Cancel machine requests."""

    _parts: Parts

    async def RequestMachines(self, request: pb.RequestMachinesRequest, context: Any) -> Operation:
        """Asks for machines."""
        call, parts = current(), self._parts
        order = wire.order(request, call)
        if request.validate_only:
            planned = await parts.store.read(lambda book: acquiring.plan(book, parts.kinds, parts.limits, order))
            return wire.planned(planned, call)

        def accept(book: Book) -> Operation:
            return _operation(book, acquiring.accept(book, parts.kinds, parts.limits, order))

        return await parts.store.change(accept, once(lambda message: message))

    async def ReturnMachines(self, request: pb.ReturnMachinesRequest, context: Any) -> Operation:
        """Ends machines for good."""
        call, parts = current(), self._parts
        order = wire.return_order(request, call, parts.listings.machines.matches(request.filter))
        if request.validate_only:
            planned, _ = await parts.store.scan(lambda book: returning.plan(book, order))
            return wire.planned(planned, call)

        def accept(book: Book) -> Operation:
            return _operation(book, returning.accept(book, order))

        return await parts.store.change(accept, once(lambda message: message))

    async def GetMachineRequest(self, request: pb.GetMachineRequestRequest, context: Any) -> pb.MachineRequest:
        """Gets one machine request."""
        tenant = current().tenant
        found = await self._parts.store.read(lambda book: declaring.get(book.requests, tenant, request.name))
        return wire.to_message(found)

    async def ListMachineRequests(
        self, request: pb.ListMachineRequestsRequest, context: Any
    ) -> pb.ListMachineRequestsResponse:
        """Lists machine requests."""
        found, token = await self._parts.lister.page(self._parts.listings.requests, request, wire.to_message)
        return pb.ListMachineRequestsResponse(machine_requests=found, next_page_token=token)

    async def CancelMachineRequest(self, request: pb.CancelMachineRequestRequest, context: Any) -> pb.MachineRequest:
        """Stops a machine request from asking for more."""
        tenant = current().tenant

        def stop(book: Book) -> pb.MachineRequest:
            found = declaring.get(book.requests, tenant, request.name)
            return wire.to_message(cancel(book, found, request.reason, return_machines=request.return_machines))

        return await self._parts.store.change(stop, once(lambda message: message))

    def WatchMachineRequests(
        self, request: pb.WatchMachineRequestsRequest, context: Any
    ) -> AsyncIterator[pb.WatchMachineRequestsResponse]:
        """Follows machine requests."""
        return with_final_status(
            "provider", self._watch_requests(request), lambda status: pb.WatchMachineRequestsResponse(status=status)
        )

    async def _watch_requests(
        self, request: pb.WatchMachineRequestsRequest
    ) -> AsyncIterator[pb.WatchMachineRequestsResponse]:
        tenant, parts = current().tenant, self._parts
        batches: AsyncIterator[Batch[Noticed[MachineRequest]]] = parts.watcher.watch(
            parts.listings.requests.log(tenant, request.filter),
            parts.database.changes,
            name=f"machineRequests/{tenant}/{request.filter}",
            resume_token=request.resume_token,
            see=lambda noticed: noticed if noticed.kind is not None else None,
        )
        async for batch in batches:
            yield pb.WatchMachineRequestsResponse(
                changes=[wire.change_message(noticed) for noticed in batch.changes], resume_token=batch.resume_token
            )


def _operation(book: Book, request: MachineRequest) -> Operation:
    return to_pb(book.operations.get(request.tenant, request.operation))
