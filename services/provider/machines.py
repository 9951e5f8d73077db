"""What a machine is, how its state may move, and what follows from what is seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from sutler.errors import FailedPrecondition
from sutler.ids import derive

from services.provider.cost.prices import PriceType
from services.provider.diagnostics import Category, Diagnostic, Kind, merged

COLLECTION = "machines"
MAX_DIAGNOSTICS = 20
COMING_SECONDS = 1.0
"""How long after it was seen on its way a machine is asked for again."""


class MachineState(IntEnum):
    """The life of a machine; the numbers of the contract."""

    PENDING = 1
    LAUNCHING = 2
    RUNNING = 3
    STOPPING = 4
    STOPPED = 5
    SHUTTING_DOWN = 6
    TERMINATED = 7
    FAILED = 8
    UNKNOWN = 9

    @property
    def ended(self) -> bool:
        """Whether nothing of it is there any more."""
        return self in (MachineState.TERMINATED, MachineState.FAILED)

    @property
    def coming(self) -> bool:
        """Whether it is on its way."""
        return self in (MachineState.PENDING, MachineState.LAUNCHING)

    @property
    def stays(self) -> bool:
        """Whether it neither has ended nor is being ended for good."""
        return not self.ended and self is not MachineState.SHUTTING_DOWN

    @property
    def there(self) -> bool:
        """Whether it counts for its request: it runs, or could run again."""
        return self in (MachineState.RUNNING, MachineState.STOPPING, MachineState.STOPPED)


_S = MachineState
_LEAVING = frozenset((_S.SHUTTING_DOWN, _S.FAILED, _S.UNKNOWN))

MOVES: dict[MachineState, frozenset[MachineState]] = {
    _S.PENDING: _LEAVING | {_S.LAUNCHING},
    _S.LAUNCHING: _LEAVING | {_S.RUNNING},
    _S.RUNNING: _LEAVING | {_S.STOPPING},
    _S.STOPPING: _LEAVING | {_S.STOPPED},
    _S.STOPPED: _LEAVING | {_S.LAUNCHING},
    _S.SHUTTING_DOWN: frozenset((_S.TERMINATED, _S.FAILED, _S.UNKNOWN)),
    _S.TERMINATED: frozenset(),
    _S.FAILED: frozenset((_S.LAUNCHING, _S.SHUTTING_DOWN)),
    _S.UNKNOWN: frozenset(_S) - {_S.PENDING, _S.UNKNOWN},
}
"""Every allowed move, as the contract says. What is not here cannot be stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine. Times are seconds since 1970, None where not set; things are named by their resource names.

    Attributes:
        tenant: Whose it is.
        name: Its resource name; also unique over all tenants.
        uid: Tells it from an earlier one of the same name.
        provider: The provider that has it.
        machine_request: The request that started it; empty in one that was adopted without.
        return_request: The request that returns it; empty if none does.
        template: The template that it was made with.
        owner: The declared resource that it was made for; empty if none.
        state: Where it stands.
        state_reason: Why, for people.
        native_id: The provider's id of it.
        type: Its machine type.
        price_type: How it is paid for.
        region: Its region.
        zone: Its zone.
        place: The host and folder whose driver looks after it; empty until one does.
        launch: How often it was launched; a launch of this number happens once.
        attempt: The attempt of its request that it belongs to.
        tags: Its tags.
        attributes: What only its type tells of this launch of it, such as ``pid``.
        exit_code: What it exited with; None where that is not known.
        diagnostics: What went wrong with it.
        grace: Seconds that it may take to end by itself.
        create_time: When it was recorded.
        update_time: When it last changed.
        launch_time: When the provider began to start it.
        ready_time: When it first ran.
        end_time: When it ended.
        lost_time: Since when the provider no longer shows it although nobody ended it.
        adopt_time: When it was found without a record and got one.
        observe_time: When it was last seen at the provider.
        due_time: When its driver must look at it next; None for never.
        kill_time: When it is made to end if it has not ended by itself.
        lease_duration: How many seconds its first lease is long; None if it has no lease.
        lease_expire_time: When it is returned unless its lease is extended; None until it has first run.
        creator: The principal that asked for it.
        correlation_id: Ties log lines, traces and errors together.
        revision: Grows with every change.
    """

    tenant: str
    name: str
    uid: str
    provider: str
    machine_request: str
    template: str
    return_request: str = ""
    owner: str = ""
    state: MachineState = MachineState.PENDING
    state_reason: str = ""
    native_id: str = ""
    type: str = ""
    price_type: PriceType = PriceType.ON_DEMAND
    region: str = ""
    zone: str = ""
    place: str = ""
    launch: int = 1
    attempt: int = 1
    tags: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    grace: float = 10.0
    create_time: float = 0.0
    update_time: float = 0.0
    launch_time: float | None = None
    ready_time: float | None = None
    end_time: float | None = None
    lost_time: float | None = None
    adopt_time: float | None = None
    observe_time: float | None = None
    due_time: float | None = None
    kill_time: float | None = None
    lease_duration: float | None = None
    lease_expire_time: float | None = None
    creator: str = ""
    correlation_id: str = ""
    revision: int = 0

    @property
    def leaving(self) -> bool:
        """Whether it has ended, or something is ending it for good."""
        return not self.state.stays or bool(self.return_request)

    @property
    def id(self) -> str:
        """The last part of its name."""
        return self.name.partition("/")[2]


class Sight(IntEnum):
    """What a look at the provider shows of one launch of a machine."""

    NOTHING = 1
    """It was never launched with this number."""
    ALIVE = 2
    ENDED = 3
    COMING = 4
    """It is on its way; its launch is asked for again until it runs or has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen of a machine.

    Attributes:
        tenant: Whose it is.
        machine: Its name.
        launch: Which launch of it was looked for.
        sight: What is there.
        native_id: The provider's id of it.
        attributes: What only its type tells.
        exit_code: What it exited with; None where that is not known.
        reason: How it ended, for people.
        diagnostic: Why it was not started, if that is known.
    """

    tenant: str
    machine: str
    launch: int
    sight: Sight
    native_id: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int | None = None
    reason: str = ""
    diagnostic: Diagnostic | None = None


def machine_name(request_uid: str, number: int) -> str:
    """Returns the name of the machine with this number in a request: the same however often it is asked for."""
    return f"{COLLECTION}/m-" + derive(request_uid, f"machines/{number}").replace("-", "")[:24]


def move(machine: Machine, state: MachineState, now: float, reason: str = "") -> Machine:
    """Returns the machine in another state, with the times that go with it.

    Raises:
        FailedPrecondition: If the state cannot move so (STATE_INVALID).
    """
    if state not in MOVES[machine.state]:
        allowed = ", ".join(sorted(s.name for s in MOVES[machine.state])) or "none"
        raise FailedPrecondition(
            f"{machine.name} is {machine.state.name} and cannot become {state.name}; allowed: {allowed}",
            metadata={"state": machine.state.name, "allowed": allowed},
            resource=machine.name,
        )
    moved = replace(machine, state=state, state_reason=reason, due_time=None)
    if state is MachineState.LAUNCHING:
        launch = machine.launch if machine.launch_time is None else machine.launch + 1
        began = replace(moved, launch_time=now, launch=launch, due_time=now)
        return replace(
            began, end_time=None, lost_time=None, exit_code=None, attributes={}
        )  # what was told of an earlier launch
    if state is MachineState.RUNNING:
        return _ready(replace(moved, observe_time=now), now)
    if state in (MachineState.STOPPING, MachineState.SHUTTING_DOWN):
        return replace(moved, due_time=now, kill_time=now + machine.grace)
    if state.ended:
        return replace(moved, end_time=now, observe_time=now)
    return replace(moved, observe_time=now)


def _ready(machine: Machine, now: float) -> Machine:
    """Returns a machine that runs; its first lease begins when it first does."""
    if machine.ready_time is not None:
        return machine
    ready = replace(machine, ready_time=now)
    return ready if machine.lease_duration is None else reaching(ready, now + machine.lease_duration)


def reaching(machine: Machine, time: float) -> Machine:
    """Returns a machine whose lease ends at a time, to the microsecond; the same if it ends later already."""
    return replace(machine, lease_expire_time=max(machine.lease_expire_time or 0.0, round(time, 6)))


_AT_REST = frozenset((_S.PENDING, _S.STOPPED, _S.TERMINATED, _S.FAILED))
"""States in which there is nothing to be seen: whatever is seen is older than the state."""


def seen(machine: Machine, observation: Observation, now: float) -> Machine:
    """Returns the machine as it is once an observation is known; the same if that says nothing new."""
    if observation.launch != machine.launch or machine.state in _AT_REST:
        return machine
    if observation.sight is Sight.COMING:
        return _seen_coming(machine, observation, now)
    if observation.sight is Sight.ALIVE:
        return _seen_alive(machine, observation, now)
    if observation.sight is Sight.NOTHING and machine.state in (MachineState.LAUNCHING, MachineState.UNKNOWN):
        return machine if machine.state is MachineState.LAUNCHING else _lost(machine, observation, now)
    told = replace(machine, exit_code=observation.exit_code)
    if machine.state is MachineState.SHUTTING_DOWN:
        return move(told, MachineState.TERMINATED, now, observation.reason)
    if machine.state is MachineState.STOPPING:
        return move(told, MachineState.STOPPED, now, observation.reason)
    return _lost(told, observation, now)


def _seen_coming(machine: Machine, observation: Observation, now: float) -> Machine:
    if machine.state is not MachineState.LAUNCHING:
        return machine
    known = observation.native_id or machine.native_id
    return replace(machine, native_id=known, attributes=observation.attributes, due_time=now + COMING_SECONDS)


def _seen_alive(machine: Machine, observation: Observation, now: float) -> Machine:
    told = replace(machine, native_id=observation.native_id, attributes=observation.attributes)
    if machine.state in (MachineState.LAUNCHING, MachineState.UNKNOWN):
        return move(told, MachineState.RUNNING, now)
    return told


def _lost(machine: Machine, observation: Observation, now: float) -> Machine:
    """Returns a machine that ended without being asked to."""
    reason = observation.reason or "it ended; how was not seen, so its exit code is unknown"
    diagnostic = observation.diagnostic or Diagnostic(
        category=Category.UNKNOWN, kind=Kind.PERMANENT, code="EXITED", summary=reason, native_id=machine.native_id
    )
    was_there = machine.state is not MachineState.LAUNCHING
    return failed(replace(machine, lost_time=now) if was_there else machine, diagnostic, now)


def failed(machine: Machine, diagnostic: Diagnostic, now: float) -> Machine:
    """Returns a machine that did not start, or ended without being asked to."""
    kept = merged(machine.diagnostics, diagnostic, now)[:MAX_DIAGNOSTICS]
    return move(replace(machine, diagnostics=kept), MachineState.FAILED, now, diagnostic.summary)
