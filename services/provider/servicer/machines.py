"""The RPCs about machines."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from google.longrunning.operations_pb2 import Operation
from sutler.context import current
from sutler.interceptors.idempotency import once
from sutler.operations.servicer import to_pb
from sutler.provider.v1 import provider_pb2 as pb
from sutler.watch import Batch, with_final_status

from services.provider import declaring, leasing, switching
from services.provider.cost.billing import Billed, bill_of, bills
from services.provider.machines import Machine
from services.provider.ports import Book, Noticed
from services.provider.servicer.parts import Parts
from services.provider.switches import START, STOP, Switch
from services.provider.wire import machines as wire


class MachineRpcs:
    """Get, List, Watch, Start and Stop machines; read their output, extend their leases."""

    _parts: Parts

    async def GetMachine(self, request: pb.GetMachineRequest, context: Any) -> pb.Machine:
        """Gets one machine."""
        tenant = current().tenant

        def get(book: Book) -> pb.Machine:
            found = declaring.get(book.machines, tenant, request.name)
            return wire.to_message(found, bill_of(book, found))

        return await self._parts.store.read(get)

    async def ListMachines(self, request: pb.ListMachinesRequest, context: Any) -> pb.ListMachinesResponse:
        """Lists machines."""
        listing = Billed(self._parts.listings.machines, self._parts.store)
        found, token = await self._parts.lister.page(listing, request, lambda one: wire.to_message(*one))
        return pb.ListMachinesResponse(machines=found, next_page_token=token)

    async def StartMachines(self, request: pb.StartMachinesRequest, context: Any) -> Operation:
        """Starts machines that are stopped."""
        return await self._switch(START, tuple(request.names), force=False)

    async def StopMachines(self, request: pb.StopMachinesRequest, context: Any) -> Operation:
        """Stops machines that run."""
        return await self._switch(STOP, tuple(request.names), force=request.force)

    def WatchMachines(self, request: pb.WatchMachinesRequest, context: Any) -> AsyncIterator[pb.WatchMachinesResponse]:
        """Follows machines."""
        return with_final_status(
            "provider", self._watch_machines(request), lambda status: pb.WatchMachinesResponse(status=status)
        )

    def ReadMachineOutput(
        self, request: pb.ReadMachineOutputRequest, context: Any
    ) -> AsyncIterator[pb.ReadMachineOutputResponse]:
        """Reads what a machine wrote."""
        return with_final_status(
            "provider", self._read_output(request), lambda status: pb.ReadMachineOutputResponse(status=status)
        )

    async def ExtendLease(self, request: pb.ExtendLeaseRequest, context: Any) -> pb.Machine:
        """Moves the end of a machine's lease."""
        extension = wire.extension(request, current().tenant)

        def extend(book: Book) -> pb.Machine:
            extended = leasing.extend(book, extension)
            return wire.to_message(extended, bill_of(book, extended))

        return await self._parts.store.change(extend, once(lambda message: message))

    async def _switch(self, method: str, names: tuple[str, ...], *, force: bool) -> Operation:
        call = current()
        switch = Switch(
            tenant=call.tenant,
            method=method,
            names=names,
            force=force,
            creator=call.principal.actor,
            correlation_id=call.correlation_id,
        )
        return await self._parts.store.change(
            lambda book: to_pb(switching.accept(book, self._parts.kinds, switch)), once(lambda message: message)
        )

    async def _watch_machines(self, request: pb.WatchMachinesRequest) -> AsyncIterator[pb.WatchMachinesResponse]:
        tenant, parts = current().tenant, self._parts
        batches: AsyncIterator[Batch[Noticed[Machine]]] = parts.watcher.watch(
            parts.listings.machines.log(tenant, request.filter),
            parts.database.changes,
            name=f"machines/{tenant}/{request.filter}",
            resume_token=request.resume_token,
            see=lambda noticed: noticed if noticed.kind is not None else None,
        )
        async for batch in batches:
            seen = [noticed.item for noticed in batch.changes if noticed.item is not None]
            costs = await parts.store.scan(partial(bills, machines=seen))
            yield pb.WatchMachinesResponse(
                changes=[wire.change_message(n, costs[n.item.name]) for n in batch.changes if n.item is not None],
                resume_token=batch.resume_token,
            )

    async def _read_output(self, request: pb.ReadMachineOutputRequest) -> AsyncIterator[pb.ReadMachineOutputResponse]:
        wanted = wire.output_request(request, current().tenant)
        async for chunk in self._parts.outputs.read(wanted):
            yield wire.chunk_message(chunk)
