import asyncio
from typing import Any

import pytest

from services.rule.cascades import CascadeState, Tree, below
from services.rule.definitions import (
    Action,
    CallMethod,
    Definition,
    Delay,
    DeleteProperty,
    EmitEvent,
    SetProperty,
    dump,
    load,
)
from services.rule.endings import Endings
from services.rule.events import Cause, Content, Event, EventState, event_name
from services.rule.executions import Execution, ExecutionState, execution_name
from services.rule.failures import Failure
from services.rule.policies import BreakerPolicy, RetryPolicy
from services.rule.steps import (
    Change,
    Condition,
    Outcome,
    Step,
    StepState,
    dump_conditions,
    dump_steps,
    load_conditions,
    load_steps,
)

DEEDS: list[Any] = [
    SetProperty("p", "s/${x}", {"a": [1, None, "x"]}, muted=True),
    SetProperty("p", expression="old", ext=True, kind="set_ext_property"),
    DeleteProperty("p", ext=True),
    EmitEvent("t", subject="", data=None, has_data=True, extensions={"a": "b"}, extra={"x": 1.5}, delay=2.5),
    CallMethod("a.B/C", {"x": {"y": [True]}}, "shop", 3.5),
    Delay(1.5),
    Delay(expression="x"),
]


def test_definitions_survive_being_stored() -> None:
    actions = tuple(Action(f"a{i}", deed) for i, deed in enumerate(DEEDS))
    whole = Definition(
        ("a", "b.*"), actions, "s/*", ("x", "y"), RetryPolicy(3, 0.5), BreakerPolicy(window=2.0), 9.5, -4
    )
    assert load(dump(whole)) == whole
    least = Definition((), ())
    assert load(dump(least)) == least


def test_actions_without_ids_are_numbered() -> None:
    definition = Definition(("a",), (Action("", Delay()), Action("mine", Delay()), Action("", Delay())))
    assert definition.action_ids == ("action_1", "mine", "action_3")


def test_journals_survive_being_stored() -> None:
    failure = Failure(3, "no", "X", metadata={"a": "b"}, retry_after=1.5)
    steps = tuple(
        Step(f"s{i}", "kind", StepState.FAILED, deed, 1.0, 2.0, 3, failure, {"x": [1]}, True, "key",
             (Change("s", "p", True, None, True, 1, True, "e"),), ("events/e",), 9.5)
        for i, deed in enumerate(DEEDS)
    )  # fmt: skip
    assert load_steps(dump_steps(steps)) == steps
    conditions = (Condition("a > 1", Outcome.ERROR, {"a": 1}, failure), Condition("b", Outcome.NOT_EVALUATED))
    assert load_conditions(dump_conditions(conditions)) == conditions
    assert load_steps(dump_steps(())) == ()


def test_names_follow_from_what_they_come_from() -> None:
    one = event_name("t", "/shop", "1")
    assert one == event_name("t", "/shop", "1")
    assert len({one, event_name("u", "/shop", "1"), event_name("t", "/sho", "p1"), event_name("t", "/shop", "2")}) == 4
    assert execution_name(one, "u1") == execution_name(one, "u1")
    assert execution_name(one, "u1") != execution_name(one, "u2")


def event(name: str, parent: str = "", execution: str = "", depth: int = 0, over: bool = True) -> Event:
    content = Content(name, "/s", "t")
    cause = Cause("p", "c", execution, parent, "a", depth)
    state = EventState.SUCCEEDED if over else EventState.ACTIVE
    return Event(name, depth, "t", content, cause, 1.0, 2.0, state, cascade_end_time=3.0 if over else None)


def execution(name: str, event: str, depth: int, state: ExecutionState = ExecutionState.SUCCEEDED) -> Execution:
    return Execution(name, depth, "t", event, "a", "rules/r", "u", 1, "", depth, "c", 1.0, 2.0, state)


def test_a_cascade_is_what_an_event_has_caused_and_no_more() -> None:
    events = [event("a"), event("b", "a", "x1", 1), event("c", "a", "x1", 1), event("d", "b", "x2", 2)]
    executions = [
        execution("x1", "a", 0),
        execution("x2", "b", 1),
        execution("x3", "c", 1, ExecutionState.FAILED),
    ]
    whole = below(Tree(events[0], events, executions))
    assert (len(whole.events), len(whole.executions), whole.state) == (4, 3, CascadeState.FAILED)
    part = below(Tree(events[1], events, executions))
    assert [e.name for e in part.events] == ["b", "d"]
    assert ([x.name for x in part.executions], part.state) == (["x2"], CascadeState.SUCCEEDED)
    assert below(Tree(event("a", over=False), events, executions)).state is CascadeState.ACTIVE


async def test_who_waits_for_an_ending_is_woken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.rule.endings.POLL_SECONDS", 30.0)
    endings = Endings()
    left = {"a", "b"}

    async def unfinished(names: Any) -> list[str]:
        return [name for name in names if name in left]

    waiting = asyncio.create_task(endings.wait(["a", "b"], 30.0, unfinished, lambda: False))
    await asyncio.sleep(0)
    for name in ("a", "b"):
        left.discard(name)
        endings.tell([name])
    async with asyncio.timeout(10):
        await waiting


@pytest.mark.parametrize("stopping", [True, False])
async def test_waiting_ends_with_the_time_or_the_server(stopping: bool) -> None:
    endings = Endings()

    async def unfinished(names: Any) -> list[str]:
        return list(names)

    async with asyncio.timeout(5):
        await endings.wait(["a"], 30.0 if stopping else 0.01, unfinished, lambda: stopping)
