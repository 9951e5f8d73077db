"""Simulations of events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from google.protobuf import json_format
from sutler.errors import Invalid, SutlerError, invalid
from sutler.field_values import clear_output_only
from sutler.ids import new_id
from sutler.paging import fitting
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import from_struct, to_struct

from services.rule.definitions import Action
from services.rule.events import SOURCE, Content, Event
from services.rule.publishing import check_event
from services.rule.rules import Rule
from services.rule.simulations import (
    Obstacle,
    RuleSimulation,
    Simulated,
    SimulatedAction,
    SupposedSubject,
    Supposition,
)
from services.rule.steps import MAX_RESPONSE_BYTES
from services.rule.subjects import check_properties
from services.rule.values import ABSENT, clipped
from services.rule.wire.actions import action_pb
from services.rule.wire.errors import status_of
from services.rule.wire.events import content_from, event_pb
from services.rule.wire.executions import change_pb, condition_pb
from services.rule.wire.rules import wanted_from
from services.rule.wire.times import given

SIMULATION = f"{SOURCE}/simulation"
"""The source of an event that names none."""

_SHOWN = frozenset(
    (
        *("id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "extensions", "deliver_time"),
        *("data", "binary_data", "extra", "correlation_id", "depth", "principal"),
    )
)
"""What an event has that did not happen."""


def supposition_from(request: pb.SimulateEventRequest, tenant: str, now: float) -> Supposition:
    """Returns what is to be simulated.

    Raises:
        Invalid: If the event, the subject or a draft breaks a rule.
    """
    content = _content(request.event, now)
    return Supposition(
        content,
        _subject(request.subject, content) if request.HasField("subject") else None,
        drafts_from(request.drafts, tenant),
        tuple(request.rules),
        request.max_depth,
    )


def drafts_from(messages: Sequence[pb.Rule], tenant: str) -> list[Rule]:
    """Returns rules as they might be."""
    drafts = []
    for message in messages:
        clear_output_only(message)
        wanted = wanted_from(message)
        drafts.append(Rule(message.name, tenant, new_id(), wanted.definition, enabled=wanted.enabled, active=1))
    return drafts


def simulated_pb(simulated: Simulated) -> pb.SimulateEventResponse:
    """Returns a simulation as the API shows it, as much of it as one answer holds."""
    rows: Iterable[tuple[tuple[str, Any] | None, ...]] = zip_longest(
        (("events", _event_pb(event)) for event in simulated.events),
        (("simulations", _simulation_pb(simulation)) for simulation in simulated.simulations),
        (("changes", change_pb(change)) for change in simulated.changes),
    )
    parts = [part for row in rows for part in row if part is not None]
    kept = parts[: fitting(message.ByteSize() for _, message in parts)]
    answer = pb.SimulateEventResponse(truncated=simulated.truncated or len(kept) < len(parts))
    for name, message in kept:
        getattr(answer, name).append(message)
    return answer


def _content(message: pb.Event, now: float) -> Content:
    event = pb.Event()
    event.CopyFrom(message)
    event.id = event.id or new_id()
    event.source = event.source or SIMULATION
    content = check_event(content_from(event), now)
    if isinstance(content, SutlerError):
        raise _below(content, "event")
    return content


def _below(error: SutlerError, prefix: str) -> SutlerError:
    """Returns an error over a message as one over the request that holds it."""
    violations = [replace(violation, field=f"{prefix}.{violation.field}") for violation in error.violations]
    if not violations:
        return error
    metadata = {**error.metadata, "field": violations[0].field}
    return Invalid(f"{prefix}.{error.message}", reason=error.reason, metadata=metadata, violations=violations)


def _subject(message: pb.Subject, content: Content) -> SupposedSubject:
    clear_output_only(message)
    if not message.name and not content.subject:
        raise invalid("subject.name", "must be set, because the event has no subject")
    properties, ext = from_struct(message.properties), from_struct(message.ext_properties)
    check_properties(properties, "subject.properties")
    check_properties(ext, "subject.ext_properties")
    return SupposedSubject(message.name.removeprefix("subjects/"), properties, ext, given(message, "ttl"))


def _simulation_pb(simulation: RuleSimulation) -> pb.RuleSimulation:
    return pb.RuleSimulation(
        rule=simulation.rule,
        event_id=simulation.event_id,
        fires=simulation.obstacle is Obstacle.NONE,
        obstacle=int(simulation.obstacle),  # type: ignore[arg-type]
        conditions=map(condition_pb, simulation.conditions),
        actions=map(_action_pb, simulation.actions),
    )


def _action_pb(action: SimulatedAction) -> pb.SimulatedAction:
    resolved = json_format.MessageToDict(action_pb(Action(action.id, action.do)))
    (kind,) = resolved.keys() - {"id"}
    fields = {name: value for name, value in resolved[kind].items() if clipped(value, MAX_RESPONSE_BYTES) is not ABSENT}
    return pb.SimulatedAction(
        id=action.id,
        kind=action.do.kind,
        resolved=to_struct({"id": action.id, kind: fields}),
        uncertain=action.uncertain,
        error=status_of(action.error),
    )


def _event_pb(event: Event) -> pb.Event:
    message = event_pb(event, full=True)
    for field, _ in message.ListFields():
        if field.name not in _SHOWN:
            message.ClearField(field.name)  # type: ignore[arg-type]
    return message
