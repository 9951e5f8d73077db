"""What happened to an event, in one line for people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from sutler.cli.output import to_dict
from sutler.cli.refusals import explain
from sutler.rule.v1 import rule_pb2 as pb
from sutler.status import from_status

MAX_DATA = 1000
"""How many characters of data are shown."""

BAD = "red"


def line(change: pb.EventChange) -> tuple[str, str]:
    """Returns a change as a line, and the style to print it in."""
    words, style = (_execution if change.kind == pb.EventChange.KIND_EXECUTION else _event)(change)
    return f"{_clock(change.change_time)}  {words}", style


def _event(change: pb.EventChange) -> tuple[str, str]:
    event = change.event
    what = pb.EventChange.Kind.Name(change.kind).removeprefix("KIND_").replace("_", " ").lower()
    words = [f"{what:<13}", event.type, *([event.subject] if event.subject else []), event.name]
    if change.kind == pb.EventChange.KIND_ACCEPTED:
        return "  ".join([*words, *_told(event)]), ""
    ended = event.cascade_end_time if change.kind == pb.EventChange.KIND_CASCADE_ENDED else event.end_time
    words += [pb.Event.State.Name(event.state).removeprefix("STATE_"), _span(event.create_time, ended)]
    return "  ".join(words), BAD if event.state == pb.Event.STATE_FAILED else ""


def _told(event: pb.Event) -> Iterator[str]:
    """What an event says beside its type and subject."""
    if event.state == pb.Event.STATE_SCHEDULED:
        yield f"for {event.deliver_time.ToJsonString()}"
    if event.parent_execution:
        yield f"by {event.parent_execution}"
    if event.HasField("data"):
        yield _cut(to_dict(event)["data"])
    elif event.HasField("binary_data"):
        yield f"{len(event.binary_data)} bytes"
    if event.HasField("extra"):
        yield f"extra {_cut(to_dict(event)['extra'])}"


def _execution(change: pb.EventChange) -> tuple[str, str]:
    execution = change.execution
    state = pb.Execution.State.Name(execution.state).removeprefix("STATE_")
    words = [f"  {state.lower():<11}", execution.rule, change.event.type, change.event.name]
    if execution.HasField("end_time"):
        words.append(_span(execution.start_time, execution.end_time))
    words += [*_conditions(execution), *_actions(execution), *_trouble(execution)]
    return "  ".join(words), BAD if execution.HasField("last_error") else ""


def _conditions(execution: pb.Execution) -> Iterator[str]:
    """The condition that was not true, with what it saw."""
    untrue = (pb.ConditionResult.OUTCOME_FALSE, pb.ConditionResult.OUTCOME_ERROR)
    for condition in execution.conditions:
        if condition.outcome in untrue:
            outcome = pb.ConditionResult.Outcome.Name(condition.outcome).removeprefix("OUTCOME_").lower()
            yield f"when {condition.expression} is {outcome} with {_cut(to_dict(condition).get('inputs', {}))}"


def _actions(execution: pb.Execution) -> Iterator[str]:
    """What was done: the kinds of the actions that are done, with what they changed and emitted."""
    for action in execution.actions:
        if action.state in (pb.ActionResult.STATE_PENDING, pb.ActionResult.STATE_SKIPPED):
            continue
        state = pb.ActionResult.State.Name(action.state).removeprefix("STATE_").lower()
        done = "" if action.state == pb.ActionResult.STATE_SUCCEEDED else f" {state}"
        changes = [
            f"{one['property']}: {_cut(one.get('oldValue'))} -> {_cut(one.get('newValue'))}"
            for one in to_dict(action).get("changes", ())
        ]
        told = ", ".join([*changes, *action.events, *([action.task] if action.task else [])])
        yield f"{action.kind}{done}{f' ({told})' if told else ''}"


def _trouble(execution: pb.Execution) -> Iterator[str]:
    """What went wrong, how often, and what follows."""
    if execution.HasField("last_error"):
        yield f"attempt {max(execution.attempts, 1)}: " + " ".join(explain(from_status(execution.last_error)).split())
    if execution.HasField("next_attempt_time"):
        yield f"again at {_clock(execution.next_attempt_time)}"
    if execution.dead_letter:
        yield execution.dead_letter


def _cut(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_DATA else f"{text[:MAX_DATA]}… ({len(text)} characters)"


def _clock(time: Timestamp) -> str:
    return time.ToDatetime().strftime("%H:%M:%S.%f")[:-3]


def _span(begin: Timestamp, end: Timestamp) -> str:
    return f"{(end.ToNanoseconds() - begin.ToNanoseconds()) / 1e6:.0f} ms"
