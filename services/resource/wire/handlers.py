"""What is said to and by handlers, as messages of ``sutler.resource.v1.ResourceHandler``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.struct_pb2 import Struct
from sutler.errors import Invalid, Violation
from sutler.resource.v1 import handler_pb2 as pb
from sutler.resource.v1 import resource_pb2
from sutler.status import from_status
from sutler.type.v1 import operation_pb2
from sutler.validation import validate_message, validate_open_data
from sutler.wire import from_struct, seconds, timestamp, to_struct

from services.resource.attempts import misbehaved
from services.resource.handling import (
    Done,
    Found,
    HandlerCall,
    Invocation,
    Planned,
    Progress,
    Refused,
    Said,
    Verdict,
)
from services.resource.problems import problem
from services.resource.resource import Resource
from services.resource.wire.resources import to_message


def context(call: HandlerCall) -> pb.HandlerContext:
    """Returns who calls, for whom, and with which guarantees."""
    return pb.HandlerContext(
        tenant=call.tenant,
        principal=call.principal,
        attempt=call.attempt,
        fencing_token=call.fencing_token,
        operation=call.operation,
        correlation_id=call.correlation_id,
        deadline_time=timestamp(call.deadline),
        request_id=call.request_id,
        validate_only=call.validate_only,
    )


def validate_request(call: HandlerCall, desired: Resource, previous: Resource | None) -> pb.ValidateRequest:
    """Returns the question whether a resource may be created, or changed if there is a previous one."""
    change = pb.ValidateRequest.CHANGE_CREATE if previous is None else pb.ValidateRequest.CHANGE_UPDATE
    return pb.ValidateRequest(
        context=context(call), change=change, desired=_whole(desired), previous=_without_outputs(previous)
    )


def apply_request(call: HandlerCall, desired: Resource, previous: Resource | None) -> pb.ApplyRequest:
    """Returns the request to make a resource."""
    return pb.ApplyRequest(
        context=context(call),
        idempotency_key=call.idempotency_key,
        desired=_whole(desired),
        previous=_without_outputs(previous),
    )


def delete_request(call: HandlerCall, resource: Resource, previous: Resource | None) -> pb.DeleteRequest:
    """Returns the request to remove a resource."""
    return pb.DeleteRequest(
        context=context(call),
        idempotency_key=call.idempotency_key,
        resource=_whole(resource),
        previous=_without_outputs(previous),
    )


def read_request(call: HandlerCall, desired: Resource, previous: Resource | None) -> pb.ReadRequest:
    """Returns the question what is really there."""
    return pb.ReadRequest(context=context(call), desired=_whole(desired), previous=_without_outputs(previous))


def validate_action_request(call: HandlerCall, resource: Resource, invocation: Invocation) -> pb.ValidateRequest:
    """Returns the question whether an action may be carried out."""
    return pb.ValidateRequest(
        context=context(call),
        change=pb.ValidateRequest.CHANGE_INVOKE,
        desired=_whole(resource),
        previous=_without_outputs(resource),
        action=invocation.action,
        parameters=to_struct(invocation.parameters),
    )


def invoke_request(
    call: HandlerCall, resource: Resource, invocation: Invocation
) -> pb.ResourceHandlerInvokeActionRequest:
    """Returns the request to carry out an action."""
    return pb.ResourceHandlerInvokeActionRequest(
        context=context(call),
        idempotency_key=call.idempotency_key,
        resource=_whole(resource),
        action=invocation.action,
        parameters=to_struct(invocation.parameters),
    )


def to_verdict(response: pb.ValidateResponse) -> Verdict:
    """Returns what a handler thinks of a change."""
    validate_message(response)
    return Verdict(
        violations=tuple(Violation(v.field, v.description, v.reason) for v in response.violations),
        warnings=tuple(response.warnings),
        plan=tuple(
            Planned(
                operation_pb2.PlannedStep.Action.Name(step.action).removeprefix("ACTION_"),
                step.target,
                step.count,
                step.reason,
            )
            for step in response.plan
        ),
    )


def to_found(response: pb.ReadResponse) -> Found:
    """Returns what is really there.

    Raises:
        Invalid: If the answer breaks the contract.
    """
    validate_message(response)
    validate_open_data(response)
    return Found(
        presence=pb.ReadResponse.Presence.Name(response.presence).removeprefix("PRESENCE_"),
        outputs=from_struct(response.outputs) if response.HasField("outputs") else None,
        description=response.description,
    )


def to_said(response: pb.ApplyResponse | pb.DeleteResponse | pb.ResourceHandlerInvokeActionResponse, name: str) -> Said:
    """Returns what a handler says of the resource with this name; an answer that breaks the contract is a failure."""
    try:
        validate_message(response)
        validate_open_data(response)
    except Invalid as error:
        return Refused(misbehaved(name, f"its answer is not valid: {error.message[:500]}"))
    event = response.WhichOneof("event")
    if event == "progress":
        progress = response.progress
        return Progress(progress.progress_percent, progress.step, _outputs(progress))
    if event == "failure":
        return _refused(response.failure)
    warnings = tuple(response.result.warnings)
    if isinstance(response, pb.DeleteResponse):
        return Done(None, warnings)
    result = response.result
    given = from_struct(result.result) if isinstance(result, pb.ActionResult) else {}
    return Done(_outputs(result), warnings, given)


def _refused(failure: pb.HandlerFailure) -> Refused:
    error = from_status(failure.error)
    found = replace(problem(error), domain=error.domain)
    if failure.HasField("retry_after"):
        found = replace(found, retry_after=seconds(failure.retry_after))
    return Refused(found, _outputs(failure))


def _outputs(message: Any) -> Mapping[str, Any] | None:
    outputs: Struct = message.outputs
    return from_struct(outputs) if message.HasField("outputs") else None


def _whole(resource: Resource) -> resource_pb2.Resource:
    return to_message(resource, secrets=True)


def _without_outputs(resource: Resource | None) -> Any:
    return None if resource is None else to_message(replace(resource, outputs={}), empty=False, secrets=True)
