"""Acts on what differs, within one transaction: gives machines records, marks those that are lost, corrects states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sutler.ids import new_id

from services.provider.driving import note_seen
from services.provider.following import changed, recount
from services.provider.machines import Machine, MachineState, Observation, move
from services.provider.ports import Book, Happening, ProviderKind
from services.provider.reconcile.findings import Action, Finding, FindingKind, Found, Inquiry
from services.provider.requests import RequestKind
from services.provider.templates import Template


def act(
    book: Book,
    kind: ProviderKind,
    inquiry: Inquiry,
    findings: Sequence[Finding],
    found: Mapping[str, Found],
    looks: Mapping[str, Observation],
) -> None:
    """Brings the records to what was found.

    Args:
        book: What is stored.
        kind: The type of the provider.
        inquiry: What is reconciled.
        findings: What differs.
        found: The machines that the provider shows, by name.
        looks: What a second look at those that it does not show has found, by name.
    """
    requests: set[str] = set()
    for finding in findings:
        if finding.kind is FindingKind.ORPHAN and finding.action in (Action.ADOPT, Action.REMOVE):
            adopted = _adopt(book, kind, inquiry, found[finding.machine], remove=finding.action is Action.REMOVE)
            requests.add(adopted.machine_request)
        elif finding.machine in looks:
            note_seen(book, looks[finding.machine])
        elif finding.action is Action.CORRECT:
            _correct(book, inquiry, found[finding.machine])
    for name in sorted(requests - {""}):
        recount(book, inquiry.tenant, name)


def _adopt(book: Book, kind: ProviderKind, inquiry: Inquiry, found: Found, *, remove: bool) -> Machine:
    """Gives a machine a record, in the machine request of its tags if there is one; from then on it is driven."""
    asked = book.requests.get(inquiry.tenant, found.machine_request) if found.machine_request else None
    if asked is not None and (asked.provider != inquiry.provider or asked.kind is not RequestKind.ACQUIRE):
        asked = None
    known = book.templates.get(inquiry.tenant, found.template) if found.template else None
    template = asked.effective if asked is not None and asked.effective is not None else Template()
    machine = Machine(
        tenant=inquiry.tenant,
        name=found.machine,
        uid=new_id(),
        provider=inquiry.provider,
        machine_request=asked.name if asked is not None else "",
        template=asked.template if asked is not None else known.name if known is not None else "",
        owner=asked.owner if asked is not None else "",
        state=MachineState.LAUNCHING,
        native_id=found.native_id,
        type=kind.facts.type,
        region=found.region,
        place=inquiry.place,
        launch=found.launch or 1,
        attempt=max(1, len(asked.attempts)) if asked is not None else 1,
        tags={**template.tags, **asked.tags} if asked is not None else {},
        attributes=found.attributes,
        grace=kind.grace(template),
        launch_time=found.start_time,
        adopt_time=book.now,
        lease_duration=asked.lease_duration if asked is not None else None,
        creator=asked.creator if asked is not None else inquiry.creator,
        correlation_id=inquiry.correlation_id,
    )
    reason = "found without a record"
    goal = MachineState.SHUTTING_DOWN if remove else MachineState.RUNNING
    stored = book.machines.insert(move(machine, goal, book.now, reason))
    book.tell(Happening.ADOPTED, stored)
    return stored


def _correct(book: Book, inquiry: Inquiry, found: Found) -> None:
    """Lets the record of a machine that is at rest, or was launched once more, say what is there."""
    before = book.machines.get(inquiry.tenant, found.machine)
    assert before is not None, "it was compared in this transaction"
    told = replace(
        before,
        launch=found.launch or before.launch,
        native_id=found.native_id,
        attributes=found.attributes,
        exit_code=None,
    )
    unclear = told if told.state is MachineState.UNKNOWN else move(told, MachineState.UNKNOWN, book.now)
    changed(book, before, move(unclear, found.state, book.now, "found so at the provider"))
