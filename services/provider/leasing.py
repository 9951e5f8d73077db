"""Leases of machines: how far they may reach, how they are extended, and what happens when they end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sutler.errors import FailedPrecondition, Invalid, Violation
from sutler.etags import check_etag

from services.provider import declaring
from services.provider.machines import Machine, MachineState, reaching
from services.provider.ports import Book, Happening
from services.provider.returning import ReturnOrder, accept
from services.provider.templates import Template

AT_ONCE = 1000
"""How many machines one return takes when their leases end together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """How a lease is to be extended.

    Attributes:
        tenant: Whose machine it is.
        machine: Its name.
        duration: How many seconds it shall live from now on; as long as its first lease if None.
        etag: The etag that the machine must still have; any if empty.
    """

    tenant: str
    machine: str
    duration: float | None = None
    etag: str = ""


def lease_fits(duration: float | None, template: Template) -> bool:
    """Returns whether a lease is not longer than a template, with its defaults filled in, allows."""
    longest = template.max_lease_duration
    return duration is None or longest is None or duration <= longest


def check_lease(duration: float | None, template: Template) -> None:
    """Checks how long a lease is.

    Raises:
        Invalid: If it is longer than the template, with its defaults filled in, allows (LEASE_TOO_LONG).
    """
    if lease_fits(duration, template):
        return
    longest = f"{template.max_lease_duration:g}s"
    told = f"a lease with {template.name} reaches {longest} at most, not {duration:g}s"
    raise Invalid(
        f"lease_duration: {told}",
        reason="LEASE_TOO_LONG",
        metadata={"field": "lease_duration", "max_lease_duration": longest},
        violations=[Violation("lease_duration", told, "LEASE_TOO_LONG")],
    )


def extend(book: Book, extension: Extension) -> Machine:
    """Moves the end of a machine's lease, never to an earlier time, and returns the machine.

    Raises:
        NotFound: If there is no such machine.
        Conflict: If it has changed (ETAG_MISMATCH).
        FailedPrecondition: If it has no lease (LEASE_MISSING), or is ending or has ended (STATE_INVALID).
        Invalid: If the lease would reach further than the template allows (LEASE_TOO_LONG).
    """
    machine = declaring.get(book.machines, extension.tenant, extension.machine)
    check_etag(extension.etag, declaring.etag(machine), machine.name)
    if machine.lease_duration is None:
        raise FailedPrecondition(
            f"{machine.name} has no lease: it lives until it is returned",
            reason="LEASE_MISSING",
            metadata={"machine": machine.name},
            resource=machine.name,
        )
    if machine.leaving:
        state = MachineState.SHUTTING_DOWN.name if machine.return_request else machine.state.name
        raise FailedPrecondition(
            f"{machine.name} is {state}: it ends for good or has ended; ask for another machine",
            metadata={"state": state, "allowed": ", ".join(s.name for s in MachineState if s.stays)},
            resource=machine.name,
        )
    duration = extension.duration or machine.lease_duration
    request = book.requests.get(machine.tenant, machine.machine_request)
    if request is not None and request.effective is not None:
        check_lease(duration, request.effective)
    extended = reaching(machine, book.now + duration)
    return machine if extended == machine else book.machines.update(extended)


def expire(book: Book, machine: Machine) -> None:
    """Returns a machine whose lease has ended, with those of the same order whose leases have ended too."""
    together = [other for other in book.machines.lease_ended(book.now, AT_ONCE) if _key(other) == _key(machine)]
    if not together:
        return
    _return(book, machine, together)
    for ended in together:
        book.tell(Happening.LEASE_EXPIRED, declaring.get(book.machines, ended.tenant, ended.name))


def _return(book: Book, machine: Machine, together: Sequence[Machine]) -> None:
    accept(
        book,
        ReturnOrder(
            tenant=machine.tenant,
            names=tuple(other.name for other in together),
            owner=machine.owner,
            creator=machine.creator,
            correlation_id=machine.correlation_id,
            reason="the lease has ended",
        ),
    )


def _key(machine: Machine) -> tuple[str, str, str]:
    return machine.tenant, machine.provider, machine.machine_request
