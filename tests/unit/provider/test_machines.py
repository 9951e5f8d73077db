"""How a machine's state may move, and what follows from what is seen of it."""

from dataclasses import replace

import pytest
from sutler.errors import FailedPrecondition

from services.provider.machines import MOVES, Machine, Observation, Sight, machine_name, move, seen
from services.provider.machines import MachineState as M

LEAVING = {M.SHUTTING_DOWN, M.FAILED, M.UNKNOWN}
ALLOWED = {
    M.PENDING: {M.LAUNCHING, *LEAVING},
    M.LAUNCHING: {M.RUNNING, *LEAVING},
    M.RUNNING: {M.STOPPING, *LEAVING},
    M.STOPPING: {M.STOPPED, *LEAVING},
    M.STOPPED: {M.LAUNCHING, *LEAVING},
    M.SHUTTING_DOWN: {M.TERMINATED, M.FAILED, M.UNKNOWN},
    M.FAILED: {M.LAUNCHING, M.SHUTTING_DOWN},
    M.TERMINATED: set(),
    M.UNKNOWN: set(M) - {M.UNKNOWN, M.PENDING},
}
"""The comment of Machine.State in the contract."""

AFTER = {
    Sight.COMING: {},
    Sight.ALIVE: {M.LAUNCHING: M.RUNNING, M.UNKNOWN: M.RUNNING},
    Sight.ENDED: {
        M.LAUNCHING: M.FAILED,
        M.RUNNING: M.FAILED,
        M.UNKNOWN: M.FAILED,
        M.STOPPING: M.STOPPED,
        M.SHUTTING_DOWN: M.TERMINATED,
    },
    Sight.NOTHING: {
        M.RUNNING: M.FAILED,
        M.UNKNOWN: M.FAILED,
        M.STOPPING: M.STOPPED,
        M.SHUTTING_DOWN: M.TERMINATED,
    },
}


def machine(state: M) -> Machine:
    return Machine(
        tenant="t",
        name="machines/m",
        uid="u",
        provider="providers/p",
        machine_request="machineRequests/r",
        template="templates/s",
        state=state,
        grace=5.0,
        launch_time=1.0,
    )


def observation(sight: Sight, launch: int = 1, **more: int | None) -> Observation:
    return Observation(tenant="t", machine="machines/m", launch=launch, sight=sight, **more)  # type: ignore[arg-type]


def test_the_moves_are_those_of_the_contract() -> None:
    assert {state: set(moves) for state, moves in MOVES.items()} == ALLOWED


@pytest.mark.parametrize("goal", list(M))
@pytest.mark.parametrize("state", list(M))
def test_only_allowed_moves_can_be_made(state: M, goal: M) -> None:
    if goal in ALLOWED[state]:
        assert move(machine(state), goal, 10.0).state is goal
        return
    with pytest.raises(FailedPrecondition) as refused:
        move(machine(state), goal, 10.0)
    assert refused.value.reason == "STATE_INVALID"
    assert refused.value.metadata["state"] == state.name


@pytest.mark.parametrize("sight", list(Sight))
@pytest.mark.parametrize("state", list(M))
def test_what_is_seen_in_every_state(state: M, sight: Sight) -> None:
    assert seen(machine(state), observation(sight), 10.0).state is AFTER[sight].get(state, state)


@pytest.mark.parametrize("state", list(M))
def test_what_is_seen_of_another_launch_changes_nothing(state: M) -> None:
    begun = machine(state)
    assert seen(begun, observation(Sight.ENDED, launch=2), 10.0) is begun


def test_an_exit_code_that_nobody_saw_is_not_zero() -> None:
    dead = seen(machine(M.RUNNING), observation(Sight.ENDED), 10.0)
    assert dead.exit_code is None
    assert dead.state_reason
    assert dead.diagnostics[0].code == "EXITED"
    assert seen(machine(M.RUNNING), observation(Sight.ENDED, exit_code=0), 10.0).exit_code == 0


def test_each_launch_has_its_number() -> None:
    first = move(replace(machine(M.PENDING), launch_time=None), M.LAUNCHING, 10.0)
    again = move(machine(M.STOPPED), M.LAUNCHING, 20.0)
    assert (first.launch, again.launch) == (1, 2)
    assert first.due_time == 10.0


def test_one_that_is_to_end_is_given_its_grace() -> None:
    ending = move(machine(M.RUNNING), M.SHUTTING_DOWN, 10.0)
    assert (ending.due_time, ending.kill_time) == (10.0, 15.0)


def test_names_follow_from_the_request_and_are_all_different() -> None:
    names = {machine_name("u", number) for number in range(1000)}
    assert len(names) == 1000
    assert machine_name("u", 7) in names
    assert machine_name("v", 7) not in names


def test_what_is_on_its_way_is_known_and_asked_for_again() -> None:
    told = Observation(tenant="t", machine="machines/m", launch=1, sight=Sight.COMING, native_id="vm-1")
    coming = seen(machine(M.LAUNCHING), told, 10.0)
    assert (coming.state, coming.native_id, coming.due_time) == (M.LAUNCHING, "vm-1", 11.0)
    assert seen(machine(M.RUNNING), told, 10.0) == machine(M.RUNNING)
