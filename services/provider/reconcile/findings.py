"""What reconciliation is asked for, what a provider shows, and how that differs from the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from services.provider.diagnostics import Diagnostic
from services.provider.machines import MachineState

METHOD = "ReconcileProvider"
MAX_FINDINGS = 1000
DEFAULT_GRACE_SECONDS = 300.0


class OrphanPolicy(IntEnum):
    """What to do with machines that have no record; the numbers of the contract."""

    MARK = 1
    ADOPT = 2
    REMOVE = 3


class FindingKind(IntEnum):
    """What differs; the numbers of the contract."""

    ORPHAN = 1
    LOST = 2
    STATE = 3
    SURVIVOR = 4


class Action(IntEnum):
    """What is done about it; the numbers of the contract."""

    KEEP = 1
    ADOPT = 2
    MARK = 3
    REMOVE = 4
    CORRECT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A machine that a provider shows, with what its tags say.

    Attributes:
        machine: The name in its tags.
        machine_request: The machine request in its tags; empty if they name none.
        template: The template in its tags; empty if they name none.
        state: Where it stands.
        launch: Which launch of the machine it is; 0 if that cannot be told.
        certain: Whether it surely is the machine that its tags name; if not, it is left alone.
        native_id: The provider's id of it.
        region: Its region.
        attributes: What only its type tells, such as ``pid``.
        start_time: When it was started, seconds since 1970.
    """

    machine: str
    machine_request: str = ""
    template: str = ""
    state: MachineState = MachineState.RUNNING
    launch: int = 1
    certain: bool = True
    native_id: str = ""
    region: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    start_time: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A difference between a provider and the record.

    Attributes:
        kind: What differs.
        action: What was done, or would be.
        reason: Why, for people.
        machine: The name of the machine.
        machine_request: The machine request that its tags name.
        native_id: The provider's id of it.
        region: Its region.
        recorded: The state in the record; None without one.
        observed: The state at the provider; None if it is not there.
        launch_time: When it was started, as the provider says; None if that is not known.
        error: Why the action failed, for people; empty if it did not.
    """

    kind: FindingKind
    action: Action
    reason: str
    machine: str
    machine_request: str = ""
    native_id: str = ""
    region: str = ""
    recorded: MachineState | None = None
    observed: MachineState | None = None
    launch_time: float | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What is to be reconciled, and how.

    Attributes:
        tenant: Whose provider it is.
        provider: Its name.
        place: Where its machines are looked for.
        apply: Whether to act on the findings.
        policy: What to do with machines that have no record.
        grace: How old such a machine must be before it is touched, in seconds.
        regions: The regions to look at; all if empty.
        creator: The principal that asks.
        correlation_id: Ties log lines, traces and errors together.
    """

    tenant: str
    provider: str
    place: str
    apply: bool = False
    policy: OrphanPolicy = OrphanPolicy.MARK
    grace: float = DEFAULT_GRACE_SECONDS
    regions: tuple[str, ...] = ()
    creator: str = ""
    correlation_id: str = ""

    def covers(self, region: str) -> bool:
        """Returns whether a region is to be looked at."""
        return not self.regions or region in self.regions


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a reconciliation has come; stored with each step, so that a restart goes on from there.

    Attributes:
        after: The name of the last machine that was compared; empty at the beginning.
        compared: Whether all were.
        observed: How many machines the provider showed.
        matched: How many of them are as recorded.
        orphans: How many have no record.
        lost: How many are recorded and not there.
        changed: How many are in another state than recorded.
        count: How many findings there are.
        findings: The first findings.
        removing: The names of machines that are being ended.
        diagnostics: What could not be looked at, and why.
    """

    after: str = ""
    compared: bool = False
    observed: int = 0
    matched: int = 0
    orphans: int = 0
    lost: int = 0
    changed: int = 0
    count: int = 0
    findings: tuple[Finding, ...] = ()
    removing: tuple[str, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
