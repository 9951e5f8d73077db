"""Machine requests that give machines back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sutler.errors import not_found
from sutler.ids import new_id

from services.provider import fulfilment
from services.provider.following import changed, settle
from services.provider.fulfilment import Event
from services.provider.machines import Machine, MachineState, move
from services.provider.ports import Book
from services.provider.requests import (
    MAX_NAMES,
    MAX_SKIPPED,
    MachineRequest,
    RequestKind,
    RequestState,
    Skipped,
    SkipReason,
    Transition,
    request_name,
)

METHOD = "ReturnMachines"
TIMEOUT_SECONDS = 3600.0
"""How long a return goes on after the last machine should have ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnOrder:
    """What somebody gives back: exactly one of ``names``, ``source_request`` and ``all``.

    Attributes:
        tenant: Whose machines they are.
        names: The names of the machines.
        source_request: The request whose machines they are.
        all: Whether it is all machines of the tenant.
        matches: Narrows the latter two.
        force: Whether to end them without waiting, and to take over those that another return holds.
        grace: Seconds that a machine may take to end by itself; the template's if None.
        name: The name of the machine request; a new one if empty.
        owner: The declared resource that they were for; empty if none.
        creator: The principal that asks.
        correlation_id: Ties log lines, traces and errors together.
        reason: Why, for people.
    """

    tenant: str
    names: tuple[str, ...] = ()
    source_request: str = ""
    all: bool = False
    matches: Callable[[Machine], bool] = lambda _: True
    force: bool = False
    grace: float | None = None
    name: str = ""
    owner: str = ""
    creator: str = ""
    correlation_id: str = ""
    reason: str = ""


def plan(book: Book, order: ReturnOrder) -> tuple[MachineRequest, Sequence[Machine]]:
    """Returns the machine request that an order would become, and the machines that it would end; stores nothing.

    Raises:
        NotFound: If a machine or the source request does not exist.
    """
    taken: list[Machine] = []
    skipped: list[Skipped] = []
    for machine in _meant(book, order):
        if machine.state.ended:
            skipped.append(Skipped(machine.name, SkipReason.ENDED))
        elif machine.return_request and not order.force:
            skipped.append(Skipped(machine.name, SkipReason.RETURNING, machine.return_request))
        else:
            taken.append(machine)
    providers = {machine.provider for machine in taken}
    request = MachineRequest(
        tenant=order.tenant,
        name=order.name,
        uid="",
        kind=RequestKind.RETURN,
        state_reason=order.reason,
        count=len(taken),
        provider=providers.pop() if len(providers) == 1 else "",
        held=_names(taken),
        timeout=TIMEOUT_SECONDS + max([order.grace or 0.0, *(machine.grace for machine in taken)]),
        skipped=tuple(skipped[:MAX_SKIPPED]),
        force=order.force,
        grace=order.grace,
        source_request=order.source_request,
        owner=order.owner,
        creator=order.creator,
        correlation_id=order.correlation_id,
    )
    return request, taken


def accept(book: Book, order: ReturnOrder) -> MachineRequest:
    """Stores the machine request of an order with its operation, holds its machines, and returns it.

    Raises:
        NotFound: If a machine or the source request does not exist.
    """
    request, taken = plan(book, order)
    uid = new_id()
    begun = (Transition(RequestState.PENDING, book.now, order.reason),)
    request = replace(request, uid=uid, name=order.name or request_name("ret", uid), transitions=begun)
    request = replace(request, operation=book.operations.begin(request, METHOD))
    parts = _parts(request, taken)
    if parts is None:
        stored = book.requests.insert(replace(request, due_time=book.now))
        _hold(book, stored, taken)
        return stored if taken else settle(book, stored, Event.VERDICT, "there is nothing to return")
    whole = replace(request, child_requests=tuple(part.name for part, _ in parts))
    stored = book.requests.insert(fulfilment.apply(whole, Event.START, book.now))
    for part, machines in parts:
        _hold(book, book.requests.insert(replace(part, due_time=book.now)), machines)
    return stored


def start(book: Book, request: MachineRequest) -> MachineRequest:
    """Begins to carry a return out: its machines are to end."""
    begun = fulfilment.apply(replace(request, due_time=None), Event.START, book.now)
    begun = book.requests.update(replace(begun, due_time=begun.deadline_time))
    if begun.operation:
        book.operations.follow(begun, None)
    for machine in book.machines.returned_by(request.tenant, request.name):
        end_machine(book, machine, force=request.force, grace=request.grace, reason=request.state_reason)
    return begun


def end_machine(book: Book, machine: Machine, *, force: bool, grace: float | None = None, reason: str = "") -> None:
    """Lets a machine be ended for good, with the pace that is asked for; one that is ending may only become faster."""
    if machine.state.ended:
        return
    given = replace(machine, grace=machine.grace if grace is None else grace)
    if machine.state is not MachineState.SHUTTING_DOWN:
        ending = move(given, MachineState.SHUTTING_DOWN, book.now, reason)
        changed(book, machine, replace(ending, kill_time=book.now) if force else ending)
    elif force:
        changed(book, machine, replace(machine, kill_time=book.now, due_time=book.now))


def _meant(book: Book, order: ReturnOrder) -> Sequence[Machine]:
    if order.names:
        return [_existing(book, order.tenant, name) for name in dict.fromkeys(order.names)]
    if order.source_request:
        if book.requests.get(order.tenant, order.source_request) is None:
            raise not_found(order.source_request)
        return [m for m in book.machines.of_request(order.tenant, order.source_request) if order.matches(m)]
    return [m for m in book.machines.live(order.tenant) if order.matches(m)]


def _existing(book: Book, tenant: str, name: str) -> Machine:
    machine = book.machines.get(tenant, name)
    if machine is None:
        raise not_found(name)
    return machine


def _names(machines: Sequence[Machine]) -> tuple[str, ...]:
    return tuple(sorted(machine.name for machine in machines)[:MAX_NAMES])


def _parts(request: MachineRequest, machines: Sequence[Machine]) -> list[tuple[MachineRequest, list[Machine]]] | None:
    """Returns one request for each provider; None if there are not several."""
    groups: dict[str, list[Machine]] = {}
    for machine in machines:
        groups.setdefault(machine.provider, []).append(machine)
    if len(groups) < 2:
        return None
    parts = []
    for provider, group in sorted(groups.items()):
        uid = new_id()
        part = replace(request, uid=uid, name=request_name("ret", uid), provider=provider, count=len(group))
        part = replace(part, held=_names(group), skipped=(), parent_request=request.name, operation="")
        parts.append((part, group))
    return parts


def _hold(book: Book, request: MachineRequest, machines: Sequence[Machine]) -> None:
    for machine in machines:
        if machine.return_request:
            _release(book, machine, request.name)
        book.machines.update(replace(machine, return_request=request.name))


def _release(book: Book, machine: Machine, new: str) -> None:
    """Takes a machine from the return that holds it: that one has one machine less to wait for."""
    holder = book.requests.get(machine.tenant, machine.return_request)
    if holder is None or holder.state.ended:
        return
    skipped = (*holder.skipped, Skipped(machine.name, SkipReason.RETURNING, new))[:MAX_SKIPPED]
    settle(book, replace(holder, count=holder.count - 1, skipped=skipped), Event.PROGRESS)
