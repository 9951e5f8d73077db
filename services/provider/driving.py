"""What a driver does next, decided within one transaction: from what is stored alone, so that a crash loses nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache

from services.provider import acquiring, leasing, returning, switching
from services.provider.diagnostics import Diagnostic
from services.provider.ending import cancel, expire
from services.provider.expansion import expand
from services.provider.following import changed, settle
from services.provider.fulfilment import Event
from services.provider.machines import Machine, MachineState, Observation, failed, seen
from services.provider.ports import Book, Kinds
from services.provider.requests import MachineRequest, RequestKind, RequestState
from services.provider.templates import Template

AGAIN_SECONDS = 2.0
"""How long after it was made to end a machine that still lives is made to end once more."""


@dataclass(frozen=True, slots=True)
class Task:
    """A machine that something must be done with, and what it is made of.

    Attributes:
        machine: The machine.
        template: Its template, with all defaults and variables filled in.
        config: The config of its provider.
    """

    machine: Machine
    template: Template
    config: dict[str, object]


class Matter(Enum):
    """What a driver must do in the records alone."""

    REQUEST = "request"
    """A machine request is due."""
    CANCEL = "cancel"
    """The operation of a machine request is to be cancelled."""
    SWITCH = "switch"
    """The machines of an operation have come to rest."""
    LEASE = "lease"
    """The lease of a machine has ended."""


@dataclass(frozen=True, slots=True)
class Due:
    """Something that a driver must do in the records.

    Attributes:
        matter: What it is.
        tenant: Whose it is.
        name: The name of the request or machine or, of a switch, of the operation.
    """

    matter: Matter
    tenant: str
    name: str

    @property
    def key(self) -> str:
        """Tells it from all others."""
        return f"{self.matter.value}/{self.tenant}/{self.name}"


def due(book: Book, limit: int, later: Collection[str] = ()) -> list[Due]:
    """Returns what is due now.

    Args:
        book: What is stored.
        limit: How many of each kind at most.
        later: The keys of what is left out.
    """
    more = limit + len(later)
    requests = [Due(Matter.REQUEST, r.tenant, r.name) for r in book.requests.due(book.now, more)]
    cancels = [Due(Matter.CANCEL, tenant, name) for tenant, name in book.operations.cancelling(more)]
    switches = [Due(Matter.SWITCH, o.tenant, o.name) for o in switching.at_rest(book)]
    leases = [Due(Matter.LEASE, m.tenant, m.name) for m in book.machines.lease_ended(book.now, more)]
    return [one for kind in (requests, cancels, switches, leases) for one in _not_later(kind, later)[:limit]]


def _not_later(found: list[Due], later: Collection[str]) -> list[Due]:
    return [one for one in found if one.key not in later]


def advance(book: Book, kinds: Kinds, matter: Due) -> None:
    """Begins, repeats, expires or cancels a request, ends a switch or a lease; does nothing if that is done by now."""
    if matter.matter is Matter.SWITCH:
        operation = book.operations.get(matter.tenant, matter.name)
        if not operation.state.ended:
            switching.settle(book, operation)
        return
    if matter.matter is Matter.LEASE:
        machine = book.machines.get(matter.tenant, matter.name)
        if machine is not None:
            leasing.expire(book, machine)
        return
    request = book.requests.get(matter.tenant, matter.name)
    if request is None:
        return
    if matter.matter is Matter.CANCEL:
        cancel(book, request, "its operation was cancelled")
    elif request.due_time is not None and request.due_time <= book.now:
        _advance(book, kinds, request)


def advance_all(book: Book, kinds: Kinds, matters: Sequence[Due]) -> None:
    """Does all that is due."""
    for matter in matters:
        advance(book, kinds, matter)


def _advance(book: Book, kinds: Kinds, request: MachineRequest) -> None:
    if request.deadline_time is not None and book.now >= request.deadline_time:
        expire(book, request)
    elif request.kind is RequestKind.RETURN:
        returning.start(book, request)
    elif request.state is RequestState.PENDING:
        acquiring.start(book, kinds, request)
    elif request.missing and not request.pending_count:
        acquiring.try_again(book, kinds, request)
    else:
        book.requests.update(replace(request, due_time=request.deadline_time))


def due_tasks(book: Book, place: str, limit: int) -> Sequence[Task]:
    """Returns machines of a place that are to be launched or ended now."""
    return _tasks(book, book.machines.due(book.now, place, limit))


def place_tasks(book: Book, place: str, after: str, limit: int) -> Sequence[Task]:
    """Returns machines of a place that have not ended, by name, after a name."""
    return _tasks(book, book.machines.of_place(place, after, limit))


def _tasks(book: Book, machines: Sequence[Machine]) -> list[Task]:
    """Returns machines with what they are made of: the template as it was when their request was accepted."""
    request = cache(book.requests.get)
    provider = cache(book.providers.get)
    tasks = []
    for machine in machines:
        asked = request(machine.tenant, machine.machine_request) if machine.machine_request else None
        template = asked.effective if asked is not None and asked.effective is not None else Template()
        owner = provider(machine.tenant, machine.provider)
        tasks.append(Task(machine, filled(template, machine), dict(owner.config) if owner is not None else {}))
    return tasks


def filled(template: Template, machine: Machine) -> Template:
    """Returns a template whose variables are filled in for a machine."""
    spec = template.process
    if spec is None:
        return template
    values = {
        "machine_request": machine.machine_request.partition("/")[2],
        "template": machine.template.partition("/")[2],
        "provider": machine.provider.partition("/")[2],
    }
    environment = {key: expand(value, values, machine.tags) for key, value in spec.environment.items()}
    command = tuple(expand(argument, values, machine.tags) for argument in spec.command)
    return replace(template, process=replace(spec, command=command, environment=environment))


def note_seen(book: Book, observation: Observation) -> Machine | None:
    """Stores what was seen of a machine; None if there is no record of it any more."""
    machine = book.machines.get(observation.tenant, observation.machine)
    if machine is None:
        return None
    return changed(book, machine, seen(machine, observation, book.now))


def note_failed(book: Book, machine: Machine, diagnostic: Diagnostic) -> None:
    """Stores that a launch of a machine failed; one that is being ended by now has ended then."""
    now = book.machines.get(machine.tenant, machine.name)
    if now is None or now.launch != machine.launch:
        return
    if now.state is MachineState.LAUNCHING:
        changed(book, now, failed(now, diagnostic, book.now))


def note_asked(book: Book, machine: Machine) -> None:
    """Stores that a machine was asked to end: its driver looks again when it must be made to."""
    now = book.machines.get(machine.tenant, machine.name)
    if now is None or now.state not in (MachineState.STOPPING, MachineState.SHUTTING_DOWN):
        return
    next_look = now.kill_time if now.kill_time is not None and now.kill_time > book.now else book.now + AGAIN_SECONDS
    book.machines.update(replace(now, due_time=next_look))
    request = book.requests.get(now.tenant, now.return_request) if now.return_request else None
    if request is not None and request.state is RequestState.IN_PROGRESS:
        settle(book, request, Event.ACCEPT)


def is_news(machine: Machine, observation: Observation) -> bool:
    """Returns whether an observation would change what is stored."""
    return seen(machine, observation, machine.update_time) != machine


def ended_machines(book: Book, place: str, keep: float, after: tuple[float, str], limit: int) -> Sequence[Machine]:
    """Returns machines of a place that ended ``keep`` seconds ago, by end and name, after an end and a name."""
    return book.machines.expired(book.now - keep, place, after, limit)


def remove_ended(book: Book, machines: Sequence[Machine], keep: float, limit: int) -> int:
    """Removes the records of machines, and of requests that ended long ago, and returns how many those were.

    Args:
        book: What is stored.
        machines: The machines, whose files are removed already.
        keep: For how many seconds requests are kept after their end.
        limit: How many requests at most.
    """
    for machine in machines:
        found = book.machines.get(machine.tenant, machine.name)
        if found is not None and found.state.ended and found.end_time == machine.end_time:
            book.machines.delete(found)
    requests = book.requests.expired(book.now - keep, limit)
    for request in requests:
        book.requests.delete(request)
    return len(machines) + len(requests)
