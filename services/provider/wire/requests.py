"""Machine requests as messages, and messages as orders."""

from __future__ import annotations

from collections.abc import Callable

from google.longrunning.operations_pb2 import Operation
from google.protobuf.any_pb2 import Any as AnyMessage
from sutler.context import Call
from sutler.errors import Unimplemented
from sutler.provider.v1 import provider_pb2 as pb
from sutler.type.v1.operation_pb2 import OperationMetadata, PlannedStep
from sutler.wire import timestamp

from services.provider.acquiring import DEFAULT_TIMEOUT_SECONDS, Order
from services.provider.declaring import etag
from services.provider.machines import Machine
from services.provider.ports import Noticed
from services.provider.requests import (
    COLLECTION,
    Attempt,
    Candidate,
    MachineRequest,
    RequestKind,
    Skipped,
    machine_names,
)
from services.provider.returning import ReturnOrder
from services.provider.wire import diagnostics
from services.provider.wire.amounts import amount
from services.provider.wire.times import length, span, stamp


def order(message: pb.RequestMachinesRequest, call: Call) -> Order:
    """Returns what a caller asks for.

    Raises:
        Unimplemented: If the request has a field that this release does not offer.
    """
    if message.HasField("selector"):
        raise _not_offered("selector")
    if message.fallback == pb.FALLBACK_POLICY_PROVIDER:
        raise _not_offered("fallback")
    name = message.machine_request_id
    return Order(
        tenant=call.tenant,
        template=message.template,
        count=message.count,
        name=f"{COLLECTION}/{name}" if name else "",
        tags=dict(message.tags),
        timeout=length(message, "timeout") or DEFAULT_TIMEOUT_SECONDS,
        fallback=int(message.fallback),
        lease_duration=length(message, "lease_duration"),
        creator=call.principal.actor,
        correlation_id=call.correlation_id,
    )


def return_order(message: pb.ReturnMachinesRequest, call: Call, matches: Callable[[Machine], bool]) -> ReturnOrder:
    """Returns what a caller gives back; ``matches`` is the request's filter."""
    return ReturnOrder(
        tenant=call.tenant,
        names=tuple(message.names),
        source_request=message.machine_request,
        all=message.all,
        matches=matches,
        force=message.force,
        grace=length(message, "grace_duration"),
        creator=call.principal.actor,
        correlation_id=call.correlation_id,
    )


def change_message(noticed: Noticed[MachineRequest]) -> pb.MachineRequestChange:
    """Returns a change of a machine request as a watch shows it."""
    assert noticed.kind is not None and noticed.item is not None
    return pb.MachineRequestChange(
        kind=int(noticed.kind),  # type: ignore[arg-type]
        machine_request=to_message(noticed.item),
        change_time=stamp(noticed.time),
    )


def to_message(request: MachineRequest) -> pb.MachineRequest:
    """Returns a machine request as the API shows it."""
    message = pb.MachineRequest(
        name=request.name,
        kind=int(request.kind),  # type: ignore[arg-type]
        state=int(request.state),  # type: ignore[arg-type]
        state_reason=request.state_reason[:1024],
        template=request.template,
        provider=request.provider,
        region=request.region,
        count=request.count,
        fulfilled=request.fulfilled,
        running_count=request.running_count,
        pending_count=request.pending_count,
        failed_count=request.failed_count,
        attempts=[_attempt(attempt) for attempt in request.attempts],
        diagnostics=[diagnostics.to_message(diagnostic) for diagnostic in request.diagnostics],
        deadline_time=stamp(request.deadline_time),
        selection_reason=request.selection_reason,
        candidates=[_candidate(candidate, request) for candidate in request.candidates],
        tags=request.tags,
        fallback=request.fallback,  # type: ignore[arg-type]
        lease_duration=span(request.lease_duration),
        hourly_price=amount(request.hourly_price),
        reference_hourly_price=amount(request.reference_hourly_price),
        skipped=[_skipped(skipped) for skipped in request.skipped],
        force=request.force,
        source_request=request.source_request,
        child_requests=request.child_requests,
        parent_request=request.parent_request,
        operation=request.operation,
        transitions=[
            pb.MachineRequestTransition(
                state=int(transition.state),  # type: ignore[arg-type]
                transition_time=stamp(transition.time),
                reason=transition.reason[:1024],
            )
            for transition in request.transitions
        ],
        start_time=stamp(request.start_time),
        end_time=stamp(request.end_time),
        creator=request.creator,
        owner=request.owner,
        correlation_id=request.correlation_id,
    )
    if request.revision:
        message.uid = request.uid
        message.etag = etag(request)
        message.create_time.CopyFrom(timestamp(request.create_time))
        message.update_time.CopyFrom(timestamp(request.update_time))
        message.machines.extend(machine_names(request))
    return message


def planned(request: MachineRequest, call: Call) -> Operation:
    """Returns the operation of a call with ``validate_only``: done, without a name, with the would-be request."""
    acquire = request.kind is RequestKind.ACQUIRE
    step = PlannedStep(
        action=PlannedStep.ACTION_CREATE if acquire else PlannedStep.ACTION_DELETE,
        target=f"{request.provider}/machines" if request.provider else "machines",
        count=request.count,
        reason=request.selection_reason,
    )
    metadata = OperationMetadata(
        state=OperationMetadata.STATE_SUCCEEDED,
        progress_percent=100,
        target=request.name,
        method=call.method.rpartition("/")[2],
        creator=call.principal.actor,
        correlation_id=call.correlation_id,
        plan=[step] if request.count else [],
    )
    operation = Operation(done=True)
    operation.response.Pack(to_message(request))
    operation.metadata.Pack(metadata)
    return operation


def packed(request: MachineRequest) -> bytes:
    """Returns a machine request as the serialised response of an operation."""
    message = AnyMessage()
    message.Pack(to_message(request))
    return message.SerializeToString()


def _not_offered(field: str) -> Unimplemented:
    return Unimplemented(
        f"{field} is not offered by this release; leave it out", metadata={"method": "RequestMachines", "field": field}
    )


def _attempt(attempt: Attempt) -> pb.ProvisionAttempt:
    return pb.ProvisionAttempt(
        attempt=attempt.number,
        provider=attempt.provider,
        region=attempt.region,
        api=attempt.api,
        requested=attempt.requested,
        fulfilled=attempt.fulfilled,
        client_token=attempt.client_token,
        start_time=stamp(attempt.start_time),
        end_time=stamp(attempt.end_time),
        diagnostics=[diagnostics.to_message(diagnostic) for diagnostic in attempt.diagnostics],
    )


def _candidate(candidate: Candidate, request: MachineRequest) -> pb.SelectionCandidate:
    return pb.SelectionCandidate(
        template=request.template,
        provider=candidate.provider,
        region=candidate.region,
        chosen=candidate.chosen,
        reason=candidate.reason,
        hourly_price=amount(candidate.hourly_price),
        weight=candidate.weight,
        state=candidate.state,  # type: ignore[arg-type]
    )


def _skipped(skipped: Skipped) -> pb.SkippedMachine:
    return pb.SkippedMachine(
        machine=skipped.machine,
        reason=int(skipped.reason),  # type: ignore[arg-type]
        return_request=skipped.return_request,
    )
