"""What changes led to, as operations."""

from __future__ import annotations

from google.longrunning.operations_pb2 import Operation
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Value
from sutler.operations.servicer import to_pb
from sutler.type.v1 import operation_pb2 as pb
from sutler.wire import to_value

from services.resource.callers import Caller
from services.resource.declaring import Outcome
from services.resource.differences import ABSENT, FieldChange
from services.resource.handling import Planned
from services.resource.resource import Resource
from services.resource.wire import resources


def packed(resource: Resource | None) -> bytes:
    """Returns a resource, or nothing, as the serialised response of an operation."""
    message = AnyMessage()
    message.Pack(Empty() if resource is None else resources.to_message(resource))
    return message.SerializeToString()


def to_message(outcome: Outcome, caller: Caller, target: str) -> Operation:
    """Returns the answer to a change: its operation, or what it would be."""
    if outcome.operation is not None:
        return to_pb(outcome.operation)
    metadata = pb.OperationMetadata(
        state=pb.OperationMetadata.STATE_SUCCEEDED,
        progress_percent=100,
        target=outcome.resource.name if outcome.resource else target,
        method=caller.method,
        creator=caller.actor,
        correlation_id=caller.correlation_id,
        changes=[_change(change) for change in outcome.changes],
        plan=[_step(step) for step in outcome.plan],
    )
    message = Operation(done=True, response=AnyMessage.FromString(packed(outcome.resource)))
    message.metadata.Pack(metadata)
    return message


def _change(change: FieldChange) -> pb.FieldChange:
    message = pb.FieldChange(field=change.field[:1024])
    if change.before is not ABSENT:
        message.before.CopyFrom(_value(change.before))
    if change.after is not ABSENT:
        message.after.CopyFrom(_value(change.after))
    return message


def _value(value: object) -> Value:
    return to_value(value)


def _step(step: Planned) -> pb.PlannedStep:
    return pb.PlannedStep(
        action=pb.PlannedStep.Action.Value(f"ACTION_{step.action}"),
        target=step.target,
        count=step.count,
        reason=step.reason,
    )
