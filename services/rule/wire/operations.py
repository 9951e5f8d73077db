"""Operations of this service: what they answer, and what those would that only check."""

from __future__ import annotations

from collections.abc import Sequence

from google.longrunning.operations_pb2 import Operation
from google.protobuf.message import Message
from sutler.context import current
from sutler.rule.v1 import rule_pb2 as pb
from sutler.type.v1.operation_pb2 import OperationMetadata, PlannedStep

from services.rule.purging import Purged
from services.rule.replaying import Chosen, Counts, Planned
from services.rule.wire.times import given

MAX_STEPS = 1000
"""How many steps a plan shows."""


def purge_response(purged: Purged) -> pb.PurgeDeadLettersResponse:
    """Returns what a purge has deleted, or would delete, as the API shows it."""
    return pb.PurgeDeadLettersResponse(purge_count=purged.count, purge_sample=purged.sample)


def letters_response(counts: Counts) -> pb.ReplayDeadLettersResponse:
    """Returns what a replay of dead letters has done as the API shows it."""
    return pb.ReplayDeadLettersResponse(
        execution_count=counts.begun, success_count=counts.succeeded + counts.skipped, failure_count=counts.failed
    )


def events_response(counts: Counts) -> pb.ReplayEventsResponse:
    """Returns what a replay of events has done as the API shows it."""
    return pb.ReplayEventsResponse(
        event_count=counts.events,
        execution_count=counts.begun,
        skipped_count=counts.skipped,
        failure_count=counts.failed,
    )


def chosen_from(request: pb.ReplayEventsRequest) -> Chosen:
    """Returns which events a request gives to which rules."""
    return Chosen(list(request.rules), request.filter, given(request, "start_time"), given(request, "end_time"))


def plan_pb(planned: Planned, action: PlannedStep.Action.ValueType, reason: str) -> list[PlannedStep]:
    """Returns what a replay would begin as the API shows it.

    Args:
        planned: What it would begin.
        action: Whether executions go on or are made.
        reason: Why, for people.
    """
    rules = list(planned.by_rule.items())[:MAX_STEPS]
    return [PlannedStep(action=action, target=rule, count=count, reason=reason) for rule, count in rules]


def checked_only(response: Message, target: str, plan: Sequence[PlannedStep] = ()) -> Operation:
    """Returns the operation of a call that changes nothing: done, without a name.

    Args:
        response: What it would answer.
        target: What it would work on.
        plan: What it would do.
    """
    call = current()
    operation = Operation(done=True)
    operation.response.Pack(response)
    operation.metadata.Pack(
        OperationMetadata(
            state=OperationMetadata.STATE_SUCCEEDED,
            progress_percent=100,
            target=target,
            method=call.method.rpartition("/")[2],
            creator=call.principal.actor,
            correlation_id=call.correlation_id,
            plan=plan,
        )
    )
    return operation
