"""Machine sets in the messages of ResourceHandler."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from google.rpc.error_details_pb2 import BadRequest
from sutler.resource.v1 import handler_pb2 as pb
from sutler.resource.v1.resource_pb2 import Resource
from sutler.type.v1.operation_pb2 import PlannedStep
from sutler.wire import from_struct, seconds, to_struct

from services.provider.set_runner import SetProgress
from services.provider.wishes import Caller, Change, Proposal, Sighting, Verdict

MIN_TIMEOUT_SECONDS = 1.0
MAX_TIMEOUT_SECONDS = 86_400.0


def caller(context: pb.HandlerContext, key: str, resource: Resource) -> Caller:
    """Returns who calls for a set."""
    left = seconds(context.deadline_time) - time.time()
    return Caller(
        tenant=context.tenant,
        resource=resource.name,
        fence=context.fencing_token,
        attempt=context.attempt,
        key=key,
        timeout=min(MAX_TIMEOUT_SECONDS, max(MIN_TIMEOUT_SECONDS, left)),
        creator=context.principal,
        correlation_id=context.correlation_id,
    )


def properties(resource: Resource) -> Mapping[str, Any]:
    """Returns the properties of a resource."""
    return from_struct(resource.properties)


def proposal(request: pb.ValidateRequest) -> Proposal:
    """Returns the change that is to be checked."""
    deletes = request.change == pb.ValidateRequest.CHANGE_DELETE
    resource = request.previous if deletes else request.desired
    return Proposal(
        tenant=request.context.tenant,
        resource=resource.name,
        change=Change(request.change),
        properties=properties(resource),
    )


def validated(verdict: Verdict) -> pb.ValidateResponse:
    """Returns what a check found."""
    plan = []
    if verdict.starts:
        target = f"machines of {verdict.template}"
        plan.append(PlannedStep(action=PlannedStep.ACTION_CREATE, target=target, count=verdict.starts))
    if verdict.ends:
        plan.append(PlannedStep(action=PlannedStep.ACTION_DELETE, target="machines", count=verdict.ends))
    return pb.ValidateResponse(
        violations=[
            BadRequest.FieldViolation(field=v.field, description=v.description, reason=v.reason)
            for v in verdict.violations[:100]
        ],
        plan=plan,
    )


def apply_message(progress: SetProgress) -> pb.ApplyResponse:
    """Returns how far an Apply is, or its result."""
    if progress.done:
        return pb.ApplyResponse(result=pb.ApplyResult(outputs=to_struct(progress.outputs)))
    return pb.ApplyResponse(progress=_progress(progress))


def delete_message(progress: SetProgress) -> pb.DeleteResponse:
    """Returns how far a Delete is, or its result."""
    if progress.done:
        return pb.DeleteResponse(result=pb.DeleteResult())
    return pb.DeleteResponse(progress=_progress(progress))


def read_message(found: Sighting) -> pb.ReadResponse:
    """Returns what is really there."""
    return pb.ReadResponse(
        presence=int(found.presence),  # type: ignore[arg-type]
        outputs=to_struct(found.outputs),
        description=found.description,
    )


def _progress(progress: SetProgress) -> pb.HandlerProgress:
    message = pb.HandlerProgress(progress_percent=progress.percent, step=progress.step)
    if progress.outputs:
        message.outputs.CopyFrom(to_struct(progress.outputs))
    return message
