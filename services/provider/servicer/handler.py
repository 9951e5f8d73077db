"""ResourceHandler for machine sets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from sutler.auth import authorize, may_act_for
from sutler.context import current
from sutler.resource.v1 import handler_pb2 as pb
from sutler.resource.v1.resource_pb2 import Resource

from services.provider.set_runner import SetRunner
from services.provider.wire import sets as wire
from services.provider.wishes import Caller, MayEnd, read_wish

RETURN = "provider.machines.return"


class MachineSetHandler:
    """Makes resources of type ``Sutler.Compute/machineSets`` real.

    Args:
        runner: Carries the calls out.
    """

    def __init__(self, runner: SetRunner) -> None:
        self._runner = runner

    async def Validate(self, request: pb.ValidateRequest, context: Any) -> pb.ValidateResponse:
        """Checks a change of a machine set."""
        _act_for(request.context)
        return wire.validated(await self._runner.validate(wire.proposal(request)))

    async def Apply(self, request: pb.ApplyRequest, context: Any) -> AsyncIterator[pb.ApplyResponse]:
        """Makes a machine set as wished."""
        caller = _caller(request.context, request.idempotency_key, request.desired)
        wish = read_wish(wire.properties(request.desired))
        authorize(current().principal, "provider.machines.request", [wish.template])
        async for progress in self._runner.apply(caller, wish, _may_end()):
            yield wire.apply_message(progress)

    async def Delete(self, request: pb.DeleteRequest, context: Any) -> AsyncIterator[pb.DeleteResponse]:
        """Ends all machines of a set."""
        caller = _caller(request.context, request.idempotency_key, request.resource)
        authorize(current().principal, RETURN, None)
        async for progress in self._runner.delete(caller, _may_end()):
            yield wire.delete_message(progress)

    async def Read(self, request: pb.ReadRequest, context: Any) -> pb.ReadResponse:
        """Says what is there of a machine set."""
        _act_for(request.context)
        previous = wire.properties(request.previous) if request.HasField("previous") else None
        found = await self._runner.read(
            request.context.tenant, request.desired.name, wire.properties(request.desired), previous
        )
        return wire.read_message(found)


def _may_end() -> MayEnd:
    """Returns what checks that the caller may end machines of these names, as ReturnMachines does."""
    principal = current().principal
    return lambda names: authorize(principal, RETURN, names)


def _act_for(context: pb.HandlerContext) -> None:
    """Lets a service act for the tenant whose resource it is."""
    call = current()
    if context.tenant != call.tenant:
        may_act_for(call.principal, "provider", context.tenant)


def _caller(context: pb.HandlerContext, key: str, resource: Resource) -> Caller:
    _act_for(context)
    return wire.caller(context, key, resource)
