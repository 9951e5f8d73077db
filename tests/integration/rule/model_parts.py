"""Random parts of what the model and the service are told, and how each is said to the service."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import from_value, to_value

from tests.integration.rule import conftest
from tests.integration.rule.model import ADD, CONDITIONS, FAILED, OTHER, Act, Event, Reaction, Write, text

RULES = ("a", "b", "c")
SUBJECTS = ("s/1", "s/2", OTHER)
LEVELS = {"l0.a": 0, "l0.*": 0, "l1.*": 1, "l*.a": 2, "subject.*.*": 3, "subject.deleted": 3, "error.*": 3}
"""Patterns, and the highest level of what they match; of level 3 nothing is told."""

TYPES = (("l1.a", 1), ("l1.b", 1), ("l2.a", 2), ("l3.z", 3))
"""What rules emit; nobody handles the last one."""

PROPERTIES = (*(f"of-{id}" for id in RULES), "mode", "x")
values = st.sampled_from([1, 2.5, "text", None, True, {"x": 1}, "on", "on"])
subjects = st.sampled_from(SUBJECTS)
types = st.sampled_from(["l0.a", "l0.a", "l0.b", "l1.a", "l2.a"])
numbers = st.integers(0, 5)
rarely = st.integers(0, 7).map(lambda n: n == 0)


@st.composite
def reactions(draw: st.DrawFn) -> Reaction:
    on = draw(st.sampled_from([*LEVELS, "l0.*", "l0.*", "l1.*", "l*.a"]))
    higher = [type for type, level in TYPES if level > LEVELS[on]] or ["l3.z"]
    quiet, acts = LEVELS[on] == 3, []
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(["add", "set", "drop", "ext", "emit", "emit"]))
        number = draw(st.sampled_from([None, None, 1, 5])) if kind == "emit" else 7 if kind in ("set", "ext") else None
        muted = kind != "emit" and (quiet or draw(st.booleans()))
        type = draw(st.sampled_from(higher)) if kind == "emit" else ""
        acts.append(Act(kind, draw(st.sampled_from(["", "", OTHER])), type, number, muted))
    return Reaction(on, draw(st.sampled_from(CONDITIONS)), tuple(acts), not draw(rarely))


writes = st.builds(
    lambda property, kind, value, ext, muted: Write(
        property,
        kind,
        {"increment": 2, "set": value}.get(kind),
        ext,
        muted,
    ),
    st.sampled_from(PROPERTIES),
    st.sampled_from(["set", "set", "increment", "expression", "delete"]),
    values,
    rarely,
    rarely,
)


def event_of(event: pb.Event) -> Event:
    """An event as the model sees it."""
    data = from_value(event.data)
    data.pop("revision", None)
    return Event(event.type, event.subject, "{}" if event.type == FAILED else text(data))


def write_pb(write: Write) -> pb.PropertyWrite:
    message = pb.PropertyWrite(property=write.property, ext=write.ext, muted=write.muted)
    if write.kind == "set":
        message.value.CopyFrom(to_value(write.value))
    elif write.kind == "increment":
        message.increment = write.value
    elif write.kind == "expression":
        message.expression = ADD
    else:
        message.deleted = True
    return message


def rule_fields(id: str, reaction: Reaction) -> pb.Rule:
    when = {"when": [reaction.condition]} if reaction.condition else {}
    return conftest.rule(
        name=f"rules/{id}",
        on=[reaction.on],
        actions=[action(id, act) for act in reaction.acts],
        enabled=reaction.enabled,
        breaker={"disabled": True},
        **when,
    )


def action(id: str, act: Act) -> dict[str, Any]:
    where = {"subject": act.subject} if act.subject else {}
    if act.kind == "emit":
        number = "${payload.n}" if act.number is None else act.number
        return conftest.emit(act.type, data={"n": number}, **where)
    fields: dict[str, Any] = {"property": f"of-{id}", **where}
    if act.kind == "ext":
        return {"setExtProperty": {**fields, "value": act.number}}
    fields["muted"] = act.muted
    if act.kind == "drop":
        return {"deleteProperty": fields}
    return {"setProperty": {**fields, **({"expression": ADD} if act.kind == "add" else {"value": act.number})}}
