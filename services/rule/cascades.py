"""Cascades: all that one event has caused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.rule.events import Event, EventState
from services.rule.executions import Execution, ExecutionState

MAX_ITEMS = 10_000
"""How many events, and how many executions, one answer holds at the most."""

_BAD = (ExecutionState.FAILED, ExecutionState.CANCELLED)


class CascadeState(IntEnum):
    """The life of a cascade, by the numbers of the contract."""

    ACTIVE = 1
    SUCCEEDED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Tree:
    """The cascade that an event belongs to, from its beginning.

    Attributes:
        top: The event that was asked for.
        events: All events of the cascade, by depth and time.
        executions: Their executions, by depth and time.
        bodies: The events with their data, as far as one answer holds them; None if nobody asked for data.
        counts: How many events and executions there are in all, where they are not all here; else None.
    """

    top: Event
    events: Sequence[Event]
    executions: Sequence[Execution]
    bodies: Mapping[str, Event] | None = None
    counts: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Cascade:
    """All that an event has caused.

    Attributes:
        top: The event.
        events: The event and those that followed, by depth and time.
        executions: Their executions, by depth and time.
        state: Where it stands.
        truncated: Whether the deepest parts are left out.
        event_count: How many events there are in all.
        execution_count: How many executions there are in all.
        update_time: When it last changed, in epoch seconds.
        end_time: When the last of it ended; None while something goes on.
    """

    top: Event
    events: Sequence[Event]
    executions: Sequence[Execution]
    state: CascadeState
    truncated: bool
    event_count: int
    execution_count: int
    update_time: float
    end_time: float | None


def below(tree: Tree) -> Cascade:
    """Returns the part of a tree that its event has caused."""
    children = {execution.name: execution for execution in tree.executions}
    inside = {tree.top.name}
    events: list[Event] = []
    for event in tree.events[:MAX_ITEMS]:
        parent = children.get(event.cause.execution)
        if event.name == tree.top.name or (parent is not None and parent.event in inside):
            inside.add(event.name)
            events.append(event)
    executions = [execution for execution in tree.executions[:MAX_ITEMS] if execution.event in inside]
    counts = (len(events), len(executions))
    if tree.counts is not None and tree.top.name == tree.top.cause.root:
        counts = tree.counts
    shown = events if tree.bodies is None else [tree.bodies[e.name] for e in events if e.name in tree.bodies]
    return Cascade(
        tree.top,
        shown,
        executions,
        _state(tree.top, events, executions),
        tree.counts is not None or len(shown) < len(events),
        *counts,
        max([tree.top.update_time, *(e.update_time for e in events), *(x.update_time for x in executions)]),
        tree.top.cascade_end_time,
    )


def _state(top: Event, events: Sequence[Event], executions: Sequence[Execution]) -> CascadeState:
    if top.cascade_end_time is None:
        return CascadeState.ACTIVE
    bad = any(event.state is EventState.FAILED for event in events) or any(x.state in _BAD for x in executions)
    return CascadeState.FAILED if bad else CascadeState.SUCCEEDED
