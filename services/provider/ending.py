"""Ends machine requests before all has come: because somebody cancels them, or because their time is up."""

from __future__ import annotations

from dataclasses import replace

from services.provider.following import settle
from services.provider.fulfilment import Event
from services.provider.ports import Book
from services.provider.requests import MachineRequest, RequestKind
from services.provider.returning import end_machine


def cancel(book: Book, request: MachineRequest, reason: str, *, return_machines: bool = False) -> MachineRequest:
    """Cancels a request and returns it as it is then; one that has ended stays as it is.

    Machines that are on their way are ended. Those that are there stay, unless ``return_machines``.
    """
    if request.state.ended:
        return request
    settle(book, request, Event.CANCEL, reason or "cancelled")
    for name in request.child_requests:
        part = book.requests.get(request.tenant, name)
        if part is not None:
            cancel(book, part, reason)
    _let_go(book, request)
    if return_machines and request.kind is RequestKind.ACQUIRE:
        for machine in book.machines.of_request(request.tenant, request.name):
            end_machine(book, machine, force=False, reason=f"{request.name} was cancelled")
    return book.requests.get(request.tenant, request.name) or request


def expire(book: Book, request: MachineRequest) -> MachineRequest:
    """Ends a request whose deadline has passed, with what is there."""
    settle(book, request, Event.DEADLINE, "its deadline has passed")
    _let_go(book, request)
    return book.requests.get(request.tenant, request.name) or request


def _let_go(book: Book, request: MachineRequest) -> None:
    """Sees to the machines of a request that waits no longer: none comes later, none is held for nothing."""
    if request.kind is RequestKind.ACQUIRE:
        for machine in book.machines.of_request(request.tenant, request.name):
            if machine.state.coming:
                end_machine(book, machine, force=True, reason=f"{request.name} no longer waits for it")
        return
    for machine in book.machines.returned_by(request.tenant, request.name):
        if machine.state.stays:
            book.machines.update(replace(machine, return_request=""))
