"""Reconciliations as messages."""

from __future__ import annotations

from sutler.context import Call
from sutler.errors import Unavailable
from sutler.provider.v1 import provider_pb2 as pb
from sutler.status import to_status

from services.provider.reconcile.accepting import Wish
from services.provider.reconcile.findings import DEFAULT_GRACE_SECONDS, Finding, Inquiry, OrphanPolicy, Progress
from services.provider.wire import diagnostics
from services.provider.wire.machines import DOMAIN
from services.provider.wire.times import length, stamp


def wish(message: pb.ReconcileProviderRequest, call: Call) -> Wish:
    """Returns what somebody asks for."""
    grace = length(message, "grace_duration")
    return Wish(
        tenant=call.tenant,
        provider=message.name,
        apply=message.apply,
        policy=OrphanPolicy(message.orphan_policy or OrphanPolicy.MARK),
        grace=DEFAULT_GRACE_SECONDS if grace is None else grace,
        regions=tuple(message.regions),
        creator=call.principal.actor,
        correlation_id=call.correlation_id,
    )


def to_message(inquiry: Inquiry, progress: Progress) -> pb.ReconcileProviderResponse:
    """Returns what a reconciliation found as the API shows it."""
    return pb.ReconcileProviderResponse(
        applied=inquiry.apply,
        observed_count=progress.observed,
        matched_count=progress.matched,
        orphan_count=progress.orphans,
        lost_count=progress.lost,
        changed_count=progress.changed,
        findings=[_finding_message(finding) for finding in progress.findings],
        finding_count=progress.count,
        diagnostics=[diagnostics.to_message(diagnostic) for diagnostic in progress.diagnostics],
    )


def _finding_message(finding: Finding) -> pb.ReconcileFinding:
    error = Unavailable(finding.error, resource=finding.machine) if finding.error else None
    return pb.ReconcileFinding(
        kind=int(finding.kind),  # type: ignore[arg-type]
        action=int(finding.action),  # type: ignore[arg-type]
        reason=finding.reason,
        machine=finding.machine,
        machine_request=finding.machine_request,
        native_id=finding.native_id,
        region=finding.region,
        recorded_state=int(finding.recorded or 0),  # type: ignore[arg-type]
        observed_state=int(finding.observed or 0),  # type: ignore[arg-type]
        launch_time=stamp(finding.launch_time),
        status=None if error is None else to_status(error, DOMAIN),
    )
