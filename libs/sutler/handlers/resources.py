"""Other resources, for handlers that are made of them: created and changed through ResourceService, once."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from google.longrunning.operations_pb2 import Operation, WaitOperationRequest

from sutler.client.operations import progress, result
from sutler.errors import FailedPrecondition, SutlerError, Unavailable
from sutler.ids import derive
from sutler.resource.v1 import resource_pb2 as pb
from sutler.wire import duration, from_struct, to_struct

HOLD_SECONDS = 10.0
"""How long an attempt waits for another operation. Then it gives its place back and is called again, because else
operations that wait for each other's places could take them all."""

RETRY_SECONDS = 1.0
BEAT_SECONDS = 0.5
"""How often a call that waits tells of it; the least ``idle_timeout`` is 1 s."""

Beat = Callable[[int, str], Awaitable[None]]


class Resources:
    """Reads and changes resources on behalf of who registered the handler's type.

    Changes wait for their operation. Each has a request id made of the call's key and a step, so that a repeated call
    makes no second change and gets the first answer. A step is named after what is changed unless the handler names it;
    name it where one call changes the same thing twice.

    Args:
        stub: A stub of ResourceService.
        key: The call's idempotency key; empty for calls without effect.
        beat: Tells that the call goes on.
    """

    def __init__(self, stub: Any, key: str, beat: Beat) -> None:
        self._stub = stub
        self._key = key
        self._beat = beat

    async def get(self, name: str) -> pb.Resource:
        """Returns a resource. Raises NotFound if there is none."""
        found: pb.Resource = await self._stub.GetResource(pb.GetResourceRequest(name=name))
        return found

    async def create(
        self, parent: str, id: str, type: str, properties: Mapping[str, Any], *, step: str = "", **fields: Any
    ) -> pb.Resource:
        """Creates a resource, and returns it when it is there.

        Args:
            parent: The scope or resource above.
            id: The last part of its name.
            type: Its type.
            properties: What is wished.
            step: What the change is called within this call.
            **fields: Other fields of the resource, such as ``tags``.

        Raises:
            AlreadyExists: If somebody else has made it.
            FailedPrecondition: If its operation fails (OPERATION_FAILED); ``cause`` is the reason of that.
            Unavailable: If it takes longer; the next attempt goes on waiting.
            SutlerError: As the contract of CreateResource says.
        """
        resource = pb.Resource(type=type, properties=to_struct(properties), **fields)
        request = pb.CreateResourceRequest(
            parent=parent,
            resource_id=id,
            resource=resource,
            request_id=self._id(step, "create", f"{parent}/{type}/{id}"),
        )
        return await self._changed(await self._stub.CreateResource(request))

    async def apply(
        self, name: str, type: str, properties: Mapping[str, Any], *, step: str = "", **fields: Any
    ) -> pb.Resource:
        """Makes a resource what is wished, whether it exists or not; otherwise as :meth:`create`."""
        resource = pb.Resource(name=name, type=type, properties=to_struct(properties), **fields)
        request = pb.UpdateResourceRequest(
            resource=resource, allow_missing=True, request_id=self._id(step, "apply", name)
        )
        return await self._changed(await self._stub.UpdateResource(request))

    async def delete(self, name: str, *, force: bool = False, step: str = "") -> None:
        """Deletes a resource, with ``force`` all below it too; nothing if there is none. Raises as :meth:`create`."""
        request = pb.DeleteResourceRequest(
            name=name, force=force, allow_missing=True, request_id=self._id(step, "delete", name)
        )
        await self._ended(await self._stub.DeleteResource(request))

    async def invoke(
        self, name: str, action: str, parameters: Mapping[str, Any] | None = None, *, step: str = ""
    ) -> dict[str, Any]:
        """Has an action carried out and returns its result. Raises as :meth:`create`."""
        request = pb.InvokeActionRequest(
            name=name,
            action=action,
            parameters=None if parameters is None else to_struct(parameters),
            request_id=self._id(step, "invoke", f"{name}/{action}"),
        )
        answer = await self._ended(await self._stub.InvokeAction(request))
        return from_struct(answer.result)

    def _id(self, step: str, verb: str, target: str) -> str:
        if not self._key:
            raise RuntimeError("only apply, delete and actions change other resources")
        return derive(self._key, step or f"{verb}/{target}")

    async def _changed(self, operation: Operation) -> pb.Resource:
        found: pb.Resource = await self._ended(operation)
        return found

    async def _ended(self, operation: Operation) -> Any:
        """Waits for an operation and returns its response."""
        ends = time.monotonic() + HOLD_SECONDS
        while not operation.done:
            await self._beat(0, f"waiting for {operation.name}: {progress(operation).percent} %")
            # Asked at least once: what a repeated call gets is the operation as it was first answered.
            request = WaitOperationRequest(name=operation.name, timeout=duration(BEAT_SECONDS))
            operation = await self._stub.WaitOperation(request)
            if not operation.done and time.monotonic() >= ends:
                raise _not_yet(operation)
        try:
            return result(operation)
        except SutlerError as error:
            raise _failed(operation, error) from error


def _not_yet(operation: Operation) -> Unavailable:
    return Unavailable(
        f"{operation.name} is not done yet",
        reason="OPERATION_IN_PROGRESS",
        metadata={"operation": operation.name},
        retry_after=timedelta(seconds=RETRY_SECONDS),
    )


def _failed(operation: Operation, error: SutlerError) -> FailedPrecondition:
    """Returns the error for an operation that failed: final, because a repeat gets the same operation again."""
    return FailedPrecondition(
        f"{operation.name} failed: {error.message}",
        reason="OPERATION_FAILED",
        metadata={**error.metadata, "operation": operation.name, "cause": error.reason},
        violations=error.violations,
    )
