"""What changes led to, as operations."""

from __future__ import annotations

from collections.abc import Iterable

from google.longrunning.operations_pb2 import Operation
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from sutler.operations.servicer import to_pb
from sutler.resource.v1 import resource_pb2
from sutler.type.v1 import operation_pb2 as pb
from sutler.wire import to_struct, to_value

from services.resource.callers import Caller
from services.resource.declaring import Outcome
from services.resource.differences import ABSENT, FieldChange
from services.resource.handling import Planned
from services.resource.ports import Result
from services.resource.resource import ActionResult, Resource
from services.resource.stacks.stack import Stack
from services.resource.wire import resources, stacks

MAX_PLAN_BYTES = 512 * 1024
"""How large a plan may be before changes are left out; it shares its message with a stack of up to 3 MiB."""


RESOURCE = f"type.googleapis.com/{resource_pb2.Resource.DESCRIPTOR.full_name}"


def packed(result: Result, shown: bytes | None = None) -> bytes:
    """Returns what an operation answers, as its serialised response.

    Args:
        result: What it answers.
        shown: The same as the serialised message, if that is known: a resource is translated once only.
    """
    if shown is not None:
        return AnyMessage(type_url=RESOURCE, value=shown).SerializeToString()
    message = AnyMessage()
    message.Pack(_response(result))
    return message.SerializeToString()


def _response(result: Result) -> Message:
    if result is None:
        return Empty()
    if isinstance(result, ActionResult):
        after = resources.to_message(result.resource)
        return resource_pb2.InvokeActionResponse(result=to_struct(result.result), resource=after)
    if isinstance(result, Stack):
        return stacks.to_message(result)
    return resources.to_message(result)


def to_message(outcome: Outcome, caller: Caller, target: str) -> Operation:
    """Returns the answer to a change: its operation, or what it would be."""
    if outcome.operation is not None:
        return to_pb(outcome.operation)
    metadata = pb.OperationMetadata(
        state=pb.OperationMetadata.STATE_SUCCEEDED,
        progress_percent=100,
        target=outcome.result.name if isinstance(outcome.result, Resource) else target,
        method=caller.method,
        creator=caller.actor,
        correlation_id=caller.correlation_id,
        changes=[_change(change) for change in outcome.changes],
        plan=plan(outcome.plan),
    )
    message = Operation(done=True, response=AnyMessage.FromString(packed(outcome.result)))
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


def plan(steps: Iterable[Planned]) -> list[pb.PlannedStep]:
    """Returns steps as messages; when they are large together, those that follow are told without their changes."""
    found: list[pb.PlannedStep] = []
    total = 0
    for step in steps:
        message = _step(step)
        total += message.ByteSize()
        if total > MAX_PLAN_BYTES:
            del message.changes[:]
            message.reason += "; the plan is too large to list the changes"
        found.append(message)
    return found


def _step(step: Planned) -> pb.PlannedStep:
    return pb.PlannedStep(
        action=pb.PlannedStep.Action.Value(f"ACTION_{step.action}"),
        target=step.target,
        count=step.count,
        reason=step.reason,
        changes=[_change(change) for change in step.changes],
    )
