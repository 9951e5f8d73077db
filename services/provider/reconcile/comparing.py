"""Compares one machine of a provider with its record: what differs, and what follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.provider.machines import Machine, MachineState
from services.provider.reconcile.findings import (
    MAX_FINDINGS,
    Action,
    Finding,
    FindingKind,
    Found,
    Inquiry,
    OrphanPolicy,
    Progress,
)

_UNSEEN = frozenset((MachineState.PENDING, MachineState.LAUNCHING, MachineState.STOPPED))
"""States in which a machine need not be there."""

_CORRECTED = {MachineState.STOPPING: MachineState.STOPPED, MachineState.SHUTTING_DOWN: MachineState.TERMINATED}
"""What has become of machines that were being ended and are not there any more."""

_SETTLED = frozenset((MachineState.RUNNING, MachineState.STOPPED, MachineState.UNKNOWN))
"""States that nothing is about to change, so that they can be compared with what is there."""

_AT_REST = frozenset((MachineState.RUNNING, MachineState.STOPPED))
"""States at the provider that a record is corrected to: others pass."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A machine, as it is recorded and as the provider shows it; at least one of both.

    Attributes:
        record: The record; None without one.
        found: What the provider shows; None if it is not there.
    """

    record: Machine | None
    found: Found | None


def compare(pair: Pair, inquiry: Inquiry, began: float, now: float) -> Finding | None:
    """Returns what differs; None if nothing does, or if that can be told only the next time.

    Args:
        pair: The machine.
        inquiry: What is to be reconciled.
        began: When the provider began to show its machines: what was recorded later may not be among them.
        now: The time, seconds since 1970.
    """
    record, found = pair.record, pair.found
    if record is None:
        return None if found is None else _orphan(found, inquiry, now)
    if record.update_time >= began:
        return None
    if found is None:
        return _missing(record)
    if record.state.ended:
        return _survivor(record, found, inquiry, now)
    return _state(record, found)


def _orphan(found: Found, inquiry: Inquiry, now: float) -> Finding:
    action, reason = Action.KEEP, "it has no record; the policy MARK only tells it"
    if not found.certain:
        reason = "it has no record, and it is not certain that it is the machine that its tags name"
    elif inquiry.policy is not OrphanPolicy.MARK and now - found.start_time < inquiry.grace:
        reason = f"it has no record, and is younger than {inquiry.grace:g} s"
    elif inquiry.policy is OrphanPolicy.ADOPT:
        action, reason = Action.ADOPT, "it has no record"
    elif inquiry.policy is OrphanPolicy.REMOVE:
        action, reason = Action.REMOVE, "it has no record"
    return _differs(FindingKind.ORPHAN, action, reason, found)


def _missing(record: Machine) -> Finding | None:
    if record.state in _UNSEEN or record.state.ended:
        return None
    expected = _CORRECTED.get(record.state)
    lost = expected is None
    return Finding(
        kind=FindingKind.LOST if lost else FindingKind.STATE,
        action=Action.MARK if lost else Action.CORRECT,
        reason="the provider does not show it any more",
        machine=record.name,
        machine_request=record.machine_request,
        native_id=record.native_id,
        region=record.region,
        recorded=record.state,
        observed=expected,
        launch_time=record.launch_time,
    )


def _survivor(record: Machine, found: Found, inquiry: Inquiry, now: float) -> Finding | None:
    action, reason = Action.REMOVE, "it has ended in the record and still runs"
    if not found.certain:
        action, reason = Action.KEEP, "it has ended in the record, and it is not certain that this is the machine"
    elif now - (record.end_time or now) < inquiry.grace:
        action, reason = Action.KEEP, f"it has ended in the record less than {inquiry.grace:g} s ago"
    return _differs(FindingKind.SURVIVOR, action, reason, found, record.state)


def _state(record: Machine, found: Found) -> Finding | None:
    if record.state not in _SETTLED or found.state not in _AT_REST or not found.certain:
        return None
    if record.state is found.state and found.launch <= record.launch:
        return None
    reason = f"it is {found.state.name} there"
    if record.state is found.state:
        reason = f"it was launched {found.launch} times, not {record.launch}"
    return _differs(FindingKind.STATE, Action.CORRECT, reason, found, record.state)


def _differs(
    kind: FindingKind, action: Action, reason: str, found: Found, recorded: MachineState | None = None
) -> Finding:
    return Finding(
        kind=kind,
        action=action,
        reason=reason,
        machine=found.machine,
        machine_request=found.machine_request,
        native_id=found.native_id,
        region=found.region,
        recorded=recorded,
        observed=found.state,
        launch_time=found.start_time or None,
    )


def counted(progress: Progress, after: str, pairs: Sequence[Pair], findings: Sequence[Finding]) -> Progress:
    """Returns the progress after some more machines were compared.

    Args:
        progress: The progress before.
        after: The name of the last of them.
        pairs: The machines.
        findings: What differs among them.
    """
    found = {pair.found.machine for pair in pairs if pair.found is not None}
    orphans = sum(finding.kind is FindingKind.ORPHAN for finding in findings)
    lost = sum(finding.kind is FindingKind.LOST for finding in findings)
    changed = len(findings) - orphans - lost
    different = sum(finding.machine in found for finding in findings)
    return replace(
        progress,
        after=after,
        observed=progress.observed + len(found),
        matched=progress.matched + len(found) - different,
        orphans=progress.orphans + orphans,
        lost=progress.lost + lost,
        changed=progress.changed + changed,
        count=progress.count + len(findings),
        findings=(*progress.findings, *findings[: MAX_FINDINGS - len(progress.findings)]),
        removing=(
            *progress.removing,
            *(f.machine for f in findings if f.kind is FindingKind.ORPHAN and f.action is Action.REMOVE),
        ),
    )
