"""Starts and stops machines: one operation for several, one result for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sutler.errors import Conflict, FailedPrecondition, SutlerError, not_found
from sutler.operations.model import Operation

from services.provider.cost.billing import bills
from services.provider.cost.bills import UNPRICED
from services.provider.diagnostics import to_error
from services.provider.following import changed
from services.provider.machines import Machine, MachineState, move
from services.provider.ports import Book, Kinds
from services.provider.providers import Capability
from services.provider.switches import START, Switch, SwitchResult

LIMIT = 100


def accept(book: Book, kinds: Kinds, switch: Switch) -> Operation:
    """Stores the operation, lets its machines be started or stopped, and returns it; done if there is nothing to do."""
    refused: dict[str, SutlerError] = {}
    for name in dict.fromkeys(switch.names):
        machine = book.machines.get(switch.tenant, name)
        error = not_found(name) if machine is None else _switched(book, kinds, machine, switch)
        if error is not None:
            refused[name] = error
    operation = book.operations.begin_switch(switch, refused)
    settle(book, operation)
    return book.operations.get(switch.tenant, operation.name)


def at_rest(book: Book) -> list[Operation]:
    """Returns the open operations whose machines have all come to rest."""
    return [operation for operation in book.operations.open_switches(LIMIT) if not _in_motion(book, operation)]


def settle(book: Book, operation: Operation) -> None:
    """Ends an operation if all of its machines have come to rest."""
    if _in_motion(book, operation):
        return
    names: Sequence[str] = operation.work["names"]
    refused: Mapping[str, str] = operation.work["refused"]
    machines = {name: book.machines.get(operation.tenant, name) for name in names}
    wanted = MachineState.RUNNING if operation.method == START else MachineState.STOPPED
    costs = bills(book, [machine for machine in machines.values() if machine is not None])
    results = [_result(name, machines[name], wanted, refused.get(name, "")) for name in names]
    book.operations.end_switch(operation, [replace(r, bill=costs.get(r.name, UNPRICED)) for r in results])


def _switched(book: Book, kinds: Kinds, machine: Machine, switch: Switch) -> SutlerError | None:
    """Sets one machine in motion; returns why that cannot be."""
    start = switch.method == START
    goal, source = (
        (MachineState.RUNNING, MachineState.STOPPED) if start else (MachineState.STOPPED, MachineState.RUNNING)
    )
    if machine.state is goal or (start and machine.state is MachineState.LAUNCHING):
        return None
    if machine.state in (MachineState.STOPPING, MachineState.LAUNCHING):
        return Conflict(
            f"{machine.name} is {machine.state.name}; wait for that",
            reason="OPERATION_IN_PROGRESS",
            metadata={"operation": machine.name},
            resource=machine.name,
        )
    if machine.state is not source or machine.return_request:
        return FailedPrecondition(
            f"{machine.name} is {machine.state.name}",
            metadata={"state": machine.state.name, "allowed": source.name},
            resource=machine.name,
        )
    kind = kinds.get(machine.type)
    if kind is not None and not kind.facts.can(Capability.START_STOP):
        return FailedPrecondition(
            f"{machine.name} cannot be stopped and started: its type {machine.type} does not do that",
            reason="CAPABILITY_MISSING",
            metadata={"provider": machine.provider, "capability": Capability.START_STOP.name},
            resource=machine.name,
        )
    if start:
        changed(book, machine, move(machine, MachineState.LAUNCHING, book.now))
    else:
        stopping = move(machine, MachineState.STOPPING, book.now)
        changed(book, machine, replace(stopping, kill_time=book.now) if switch.force else stopping)
    return None


def _in_motion(book: Book, operation: Operation) -> bool:
    """Returns whether a machine of an operation, that was not refused, is still being started or stopped."""
    for name in operation.work["names"]:
        machine = book.machines.get(operation.tenant, name)
        moving = machine is not None and machine.state in (MachineState.LAUNCHING, MachineState.STOPPING)
        if moving and name not in operation.work["refused"]:
            return True
    return False


def _result(name: str, machine: Machine | None, wanted: MachineState, refused: str) -> SwitchResult:
    if refused or (machine is not None and machine.state is wanted):
        return SwitchResult(name, machine, refused=refused)
    if machine is None:
        return SwitchResult(name, None, not_found(name))
    if machine.diagnostics:
        return SwitchResult(name, machine, to_error(machine.diagnostics[0], name))
    state = machine.state.name
    return SwitchResult(name, machine, FailedPrecondition(f"{name} is {state}", metadata={"state": state}))
