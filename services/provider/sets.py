"""Machine sets: as many machines of a template as a declared resource wishes, never one too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sutler.errors import Conflict, Violation
from sutler.ids import derive

from services.provider import acquiring, returning
from services.provider.ending import cancel
from services.provider.limits import Limits
from services.provider.machines import Machine, MachineState
from services.provider.ports import Book, Kinds
from services.provider.requests import MachineRequest, RequestKind, request_name
from services.provider.wishes import (
    Caller,
    Change,
    MachineSet,
    MayEnd,
    Presence,
    Proposal,
    Sighting,
    Standing,
    Verdict,
    Wish,
    try_wish,
)


def admit(book: Book, caller: Caller) -> MachineSet:
    """Lets a caller change a set, unless a later one has been seen.

    Raises:
        Conflict: If a higher fencing token has been seen (LEASE_LOST).
    """
    known = book.sets.get(caller.tenant, caller.resource)
    if known is None:
        known = MachineSet(tenant=caller.tenant, resource=caller.resource)
    if caller.fence < known.fence:
        raise Conflict(
            f"a later caller works on {caller.resource}",
            reason="LEASE_LOST",
            metadata={"lease": caller.resource, "fence": str(known.fence)},
        )
    rounds = known.rounds if known.key == caller.key else 0
    admitted = replace(known, fence=caller.fence, attempt=caller.attempt, key=caller.key, rounds=rounds)
    if admitted != known:
        book.sets.put(admitted)
    return admitted


def converge(book: Book, kinds: Kinds, limits: Limits, caller: Caller, wish: Wish, may_end: MayEnd) -> Standing:
    """Takes the next step towards what is wished, and returns where the set stands then.

    What is there is looked up first, in the same transaction. New machines come before old ones go.

    Raises:
        Conflict: If a later caller works on the set (LEASE_LOST).
        PermissionDenied: If the caller may not end a machine that is one too many.
        SutlerError: If machines cannot be asked for, as :func:`services.provider.acquiring.accept` says.
    """
    known = admit(book, caller)
    for request in book.requests.open_for(caller.tenant, caller.resource):
        if request.kind is RequestKind.ACQUIRE and request.template != wish.template:
            cancel(book, request, "another template is wanted")
    standing = look(book, caller.tenant, caller.resource, wish)
    acquires = [r for r in _open(book, caller) if r.kind is RequestKind.ACQUIRE]
    if acquires:
        return standing
    right = [machine for machine in standing.machines if machine.template == wish.template]
    if len(right) < wish.count:
        _ask(book, kinds, limits, caller, known, wish, wish.count - len(right))
    elif _all_run(right):
        surplus = _surplus(standing.machines, wish)
        if surplus:
            may_end([machine.name for machine in surplus])
            _give_back(book, caller, known, surplus)
    return look(book, caller.tenant, caller.resource, wish)


def remove(book: Book, caller: Caller, may_end: MayEnd) -> Standing:
    """Takes the next step towards the end of a set, and returns where it stands then.

    Raises:
        Conflict: If a later caller works on the set (LEASE_LOST).
        PermissionDenied: If the caller may not end one of its machines.
    """
    known = admit(book, caller)
    names = [machine.name for machine in book.machines.of_owner(caller.tenant, caller.resource)]
    if names:
        may_end(names)
    for request in book.requests.open_for(caller.tenant, caller.resource):
        if request.kind is RequestKind.ACQUIRE:
            cancel(book, request, "the set is deleted")
    machines = _present(book, caller.tenant, caller.resource)
    if machines:
        _give_back(book, caller, known, machines)
    return left(book, caller.tenant, caller.resource)


def left(book: Book, tenant: str, resource: str) -> Standing:
    """Returns what is left of a set that is to end; changes nothing."""
    machines = tuple(book.machines.of_owner(tenant, resource))
    waits = tuple(request.name for request in book.requests.open_for(tenant, resource))
    leaving = any(machine.state is MachineState.SHUTTING_DOWN for machine in machines)
    return Standing(machines=machines, waits=waits, busy=bool(waits) or leaving, whole=not machines)


def stop(book: Book, caller: Caller) -> None:
    """Stops what a caller has asked for, because it does not wait any more; does nothing if a later call has come."""
    known = book.sets.get(caller.tenant, caller.resource)
    if known is None or (known.fence, known.attempt, known.key) != (caller.fence, caller.attempt, caller.key):
        return
    for request in _open(book, caller):
        if request.kind is RequestKind.ACQUIRE:
            cancel(book, request, "its caller does not wait for it")


def look(book: Book, tenant: str, resource: str, wish: Wish) -> Standing:
    """Returns where a set stands; changes nothing."""
    machines = _present(book, tenant, resource)
    waits = tuple(request.name for request in book.requests.open_for(tenant, resource))
    running = [m for m in machines if m.state is MachineState.RUNNING and m.template == wish.template]
    whole = not waits and len(running) == wish.count == len(machines)
    return Standing(machines=tuple(machines), waits=waits, busy=bool(waits), whole=whole)


def judge(book: Book, proposal: Proposal) -> Verdict:
    """Returns what is wrong with a change of a set, and what it would do; changes nothing."""
    machines = _present(book, proposal.tenant, proposal.resource)
    if proposal.change is Change.DELETE:
        return Verdict(ends=len(machines))
    if proposal.change is Change.INVOKE:
        return Verdict(violations=[Violation("action", "machine sets have no actions", "NOT_IMPLEMENTED")])
    wish, violations = try_wish(proposal.properties)
    if wish is None:
        return Verdict(violations=violations)
    if book.templates.get(proposal.tenant, wish.template) is None:
        wrong = Violation("properties.template", f"{wish.template} does not exist", "NOT_FOUND")
        return Verdict(violations=[wrong])
    right = sum(machine.template == wish.template for machine in machines)
    starts = max(0, wish.count - right)
    return Verdict(starts=starts, ends=max(0, len(machines) + starts - wish.count), template=wish.template)


def sight(book: Book, tenant: str, resource: str, wish: Wish, before: Wish | None) -> Sighting:
    """Returns what is really there of a set; changes nothing.

    Nothing of a wish is there also if all is still as it was wished before.
    """
    standing = look(book, tenant, resource, wish)
    running = sum(machine.state is MachineState.RUNNING for machine in standing.machines)
    unchanged = before is not None and look(book, tenant, resource, before).whole
    if standing.whole:
        presence = Presence.WHOLE
    elif unchanged or not book.machines.of_owner(tenant, resource):
        presence = Presence.ABSENT
    else:
        presence = Presence.PARTIAL
    text = f"{running} of {wish.count} machines run"
    return Sighting(presence=presence, outputs=outputs(standing.machines), description=text)


def outputs(machines: Sequence[Machine]) -> dict[str, Any]:
    """Returns what the resource tells of its machines."""
    listed = sorted(machines, key=lambda m: (m.create_time, m.name))
    return {
        "machines": [
            {"name": m.name, "pid": m.attributes.get("pid"), "state": m.state.name, "request": m.machine_request}
            for m in listed
        ],
        "request": listed[-1].machine_request if listed else "",
    }


def _open(book: Book, caller: Caller) -> Sequence[MachineRequest]:
    return book.requests.open_for(caller.tenant, caller.resource)


def _present(book: Book, tenant: str, resource: str) -> list[Machine]:
    """Returns the machines that count for a set; whatever is on its way out does not."""
    return [
        machine
        for machine in book.machines.of_owner(tenant, resource)
        if not machine.return_request and machine.state is not MachineState.SHUTTING_DOWN
    ]


def _all_run(machines: Sequence[Machine]) -> bool:
    return not any(machine.state.coming for machine in machines)


def _surplus(machines: Sequence[Machine], wish: Wish) -> list[Machine]:
    """Returns what is there beyond the wish: other templates, what does not run, then the youngest."""
    ordered = sorted(
        machines,
        key=lambda m: (m.template != wish.template, m.state is not MachineState.RUNNING, m.create_time, m.name),
    )
    return ordered[wish.count :]


def _ask(book: Book, kinds: Kinds, limits: Limits, caller: Caller, known: MachineSet, wish: Wish, count: int) -> None:
    number = known.rounds + 1
    book.sets.put(replace(known, rounds=number))
    acquiring.accept(
        book,
        kinds,
        limits,
        acquiring.Order(
            tenant=caller.tenant,
            template=wish.template,
            count=count,
            name=request_name("req", derive(caller.key, f"acquire/{number}")),
            timeout=caller.timeout,
            owner=caller.resource,
            creator=caller.creator,
            correlation_id=caller.correlation_id,
        ),
    )


def _give_back(book: Book, caller: Caller, known: MachineSet, machines: Sequence[Machine]) -> None:
    number = known.rounds + 1
    book.sets.put(replace(known, rounds=number))
    returning.accept(
        book,
        returning.ReturnOrder(
            tenant=caller.tenant,
            names=tuple(machine.name for machine in machines),
            name=request_name("ret", derive(caller.key, f"return/{number}")),
            owner=caller.resource,
            creator=caller.creator,
            correlation_id=caller.correlation_id,
        ),
    )
