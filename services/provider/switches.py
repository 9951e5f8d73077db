"""What it is to start and stop machines: what is asked for, and what became of each."""

from __future__ import annotations

from dataclasses import dataclass

from sutler.errors import SutlerError

from services.provider.cost.bills import UNPRICED, Bill
from services.provider.machines import Machine

START = "StartMachines"
STOP = "StopMachines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """What is asked for.

    Attributes:
        tenant: Whose machines they are.
        method: :data:`START` or :data:`STOP`.
        names: The names of the machines, in the order asked.
        force: Whether to stop them without waiting for them.
        creator: The principal that asks.
        correlation_id: Ties log lines, traces and errors together.
    """

    tenant: str
    method: str
    names: tuple[str, ...]
    force: bool = False
    creator: str = ""
    correlation_id: str = ""


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """What became of one machine.

    Attributes:
        name: Its name, as asked.
        machine: The machine as it is now; None if there is none.
        error: Why it failed; None if it did not, or if ``refused`` says it.
        refused: Why it was refused at once, as it was stored; empty if it was not.
        bill: What the machine costs.
    """

    name: str
    machine: Machine | None
    error: SutlerError | None = None
    refused: str = ""
    bill: Bill = UNPRICED
