"""The table of moves is the contract's, and nothing but the lifecycle writes a state."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from sutler.errors import FailedPrecondition

from services.resource import lifecycle
from services.resource.problems import Problem
from services.resource.resource import Declared, Resource
from services.resource.states import LEAVES, MOVES, State

CONTRACT = """
ACCEPTED → PROVISIONING | SUCCEEDED | FAILED | CANCELED | DELETING
PROVISIONING → SUCCEEDED | FAILED | CANCELED
SUCCEEDED → UPDATING | DELETING
FAILED → UPDATING | DELETING | PROVISIONING
CANCELED → UPDATING | DELETING | PROVISIONING
UPDATING → SUCCEEDED | FAILED | CANCELED
DELETING → FAILED
"""
"""contracts.md, ResourceService, States; DELETING may also be gone."""

WHY = Problem(13, "HANDLER_FAILED", "no")


def allowed() -> set[tuple[State, State]]:
    moves = set()
    for line in CONTRACT.strip().splitlines():
        old, new = line.split(" → ")
        moves |= {(State[old], State[name]) for name in new.split(" | ")}
    return moves


def resource(state: State, **changes: object) -> Resource:
    return replace(Resource("t", "locations/a", "u", "Sutler.Resource/locations", Declared(), state=state), **changes)


def test_table_is_the_contracts() -> None:
    assert {(old, new) for old, moves in MOVES.items() for new in moves} == allowed()
    assert frozenset({State.DELETING}) == LEAVES
    with pytest.raises(TypeError):
        MOVES[State.FAILED] = frozenset()  # type: ignore[index]


@pytest.mark.parametrize(("old", "new"), list(itertools.product(State, State)))
def test_every_move(old: State, new: State) -> None:
    if old is new or (old, new) in allowed():
        lifecycle.check("locations/a", old, new)
        return
    with pytest.raises(FailedPrecondition) as caught:
        lifecycle.check("locations/a", old, new)
    assert caught.value.reason == "STATE_INVALID"
    assert caught.value.metadata["state"] == old.name


@pytest.mark.parametrize("state", list(State))
def test_only_from_deleting_it_can_be_gone(state: State) -> None:
    if state is State.DELETING:
        lifecycle.check_leaving("locations/a", state)
        return
    with pytest.raises(FailedPrecondition):
        lifecycle.check_leaving("locations/a", state)


def test_begin_takes_the_resource_in_hand() -> None:
    begun = lifecycle.begin(resource(State.FAILED, error=WHY, state_reason="X"), State.UPDATING, "resourceOperations/1")
    assert (begun.state, begun.operation, begun.error, begun.state_reason) == (
        State.UPDATING,
        "resourceOperations/1",
        None,
        "",
    )


def test_succeed_completes_the_generation() -> None:
    before = resource(State.UPDATING, operation="o", generation=3, observed_generation=2, applied=Declared())
    done = lifecycle.succeed(before, {"ip": "10.0.0.1"})
    assert (done.state, done.operation, done.observed_generation, done.applied) == (State.SUCCEEDED, "", 3, None)
    assert done.outputs == {"ip": "10.0.0.1"}
    assert lifecycle.succeed(replace(before, outputs={"a": 1})).outputs == {"a": 1}


@pytest.mark.parametrize(
    ("end", "state"), [(lifecycle.fail, State.FAILED), (lifecycle.cancel, State.CANCELED)], ids=["fail", "cancel"]
)
def test_ends_that_are_no_success(end, state) -> None:  # type: ignore[no-untyped-def]
    ended = end(resource(State.PROVISIONING, operation="o"), WHY)
    assert (ended.state, ended.operation, ended.error, ended.state_reason) == (state, "", WHY, "HANDLER_FAILED")
    with pytest.raises(FailedPrecondition):
        end(resource(State.SUCCEEDED), WHY)


def test_first_state_depends_on_what_was_completed() -> None:
    assert lifecycle.first_state(resource(State.FAILED)) is State.PROVISIONING
    assert lifecycle.first_state(resource(State.FAILED, observed_generation=1)) is State.UPDATING


def test_only_the_lifecycle_writes_states() -> None:
    """`replace(…, state=…)` of a resource, or one built with a state, stands nowhere else but where rows are read."""
    found = []
    for path in Path("services/resource").rglob("*.py"):
        if path.name in ("lifecycle.py", "documents.py", "work.py"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\bstate=(?!int\(|pb\.)", line):
                found.append(f"{path}:{number}: {line.strip()}")
    assert found == []
