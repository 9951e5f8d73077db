"""Makes of requests of the contract what handlers are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from sutler.errors import Invalid, invalid_fields
from sutler.handlers.base import Handler
from sutler.handlers.calls import ActionCall, Call, Tell, shortened
from sutler.handlers.models import Anything, lenient, violations
from sutler.handlers.resources import Resources
from sutler.resource.v1 import handler_pb2 as pb
from sutler.resource.v1 import resource_pb2
from sutler.wire import from_struct, seconds

Reach = Callable[[str], Any]
"""Gives a stub of ResourceService for what the handler of the resource of this name changes."""

Changing = pb.ValidateRequest | pb.ApplyRequest | pb.DeleteRequest | pb.ReadRequest
Invoking = pb.ValidateRequest | pb.ResourceHandlerInvokeActionRequest


class Calls:
    """Makes calls of one handler.

    Args:
        handler: The handler.
        reach: Gives stubs of ResourceService.
    """

    def __init__(self, handler: Handler[Any], reach: Reach) -> None:
        self._handler = handler
        self._reach = reach

    def checked(self, request: Changing, resource: resource_pb2.Resource, tell: Tell | None) -> Call[Any]:
        """Returns a call whose properties the model accepts.

        Raises:
            Invalid: If it does not.
        """
        return Call(**self._common(request, resource, tell, _checked))

    def as_is(self, request: Changing, resource: resource_pb2.Resource, tell: Tell | None) -> Call[Any]:
        """Returns a call whose properties are unchecked if the model does not accept them any more."""
        return Call(**self._common(request, resource, tell, _unchecked))

    def acting(self, request: Invoking, resource: resource_pb2.Resource, tell: Tell | None) -> ActionCall[Any, Any]:
        """Returns a call of an action that there is.

        Raises:
            Invalid: If its model does not accept the parameters.
        """
        model = self._handler.actions[request.action].parameters or Anything
        parameters = _checked(model, from_struct(request.parameters), "parameters")
        common = self._common(request, resource, tell, _unchecked)
        return ActionCall(**common, action=request.action, parameters=parameters)

    def _common(
        self,
        request: Changing | Invoking,
        resource: resource_pb2.Resource,
        tell: Tell | None,
        parse: Callable[[type[BaseModel], Mapping[str, Any], str], BaseModel],
    ) -> dict[str, Any]:
        model, context = self._handler.Properties, request.context
        previous = getattr(request, "previous", None) if _has_previous(request) else None
        key: str = getattr(request, "idempotency_key", "")

        async def beat(percent: int, step: str) -> None:
            if tell is not None:
                await tell(pb.HandlerProgress(progress_percent=percent, step=shortened(step)))

        return {
            "resource": resource,
            "properties": parse(model, from_struct(resource.properties), "properties"),
            "previous": None if previous is None else lenient(model, from_struct(previous.properties)),
            "tenant": context.tenant,
            "principal": context.principal,
            "attempt": context.attempt,
            "idempotency_key": key,
            "fencing_token": context.fencing_token,
            "operation": context.operation,
            "correlation_id": context.correlation_id,
            "deadline": seconds(context.deadline_time),
            "validate_only": context.validate_only,
            "resources": Resources(self._reach(resource.name), key, beat),
            "tell": tell,
        }


def _has_previous(request: Changing | Invoking) -> bool:
    return "previous" in request.DESCRIPTOR.fields_by_name and request.HasField("previous")  # type: ignore[arg-type]


def _checked(model: type[BaseModel], values: Mapping[str, Any], where: str) -> BaseModel:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refused(error, where) from error


def _refused(error: ValidationError, where: str) -> Invalid:
    return invalid_fields(violations(error, where))


def _unchecked(model: type[BaseModel], values: Mapping[str, Any], where: str) -> BaseModel:
    return lenient(model, values)
