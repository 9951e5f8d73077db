"""When machines ran: spans of time, written down as machines change state."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from services.provider.cost.prices import PriceType, Wanted
from services.provider.machines import Machine, MachineState

MICROS = 1_000_000


class Turn(Enum):
    """What a change of a machine's state means for its time."""

    RUNS = "runs"
    """It runs from now on."""
    RESTS = "rests"
    """It is stopped from now on: it lives and does not run."""
    ENDS = "ends"
    """It lives no longer."""


def turn(before: Machine | None, after: Machine) -> Turn | None:
    """Returns what a change means for a machine's time; None if nothing.

    A machine that cannot be seen for a while, or is being stopped, still runs.
    """
    if before is not None and before.state is after.state:
        return None
    if after.state is MachineState.RUNNING:
        return Turn.RUNS
    if after.state is MachineState.STOPPED:
        return Turn.RESTS
    return Turn.ENDS if after.state.ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A time over which a machine ran without a break, or rested. Times are microseconds since 1970.

    Attributes:
        tenant: Whose machine it is.
        machine: Its name.
        number: 1 for the first of the machine, and so on.
        running: Whether it ran.
        start: When it began.
        end: When it ended; None if it goes on.
        provider: The provider.
        template: The template.
        region: The region.
        zone: The zone.
        machine_type: The machine type.
        price_type: How it is paid for.
        creator: The principal that asked for it.
        owner: The declared resource that it was made for.
    """

    tenant: str
    machine: str
    number: int = 1
    running: bool = True
    start: int
    end: int | None = None
    provider: str = ""
    template: str = ""
    region: str = ""
    zone: str = ""
    machine_type: str = ""
    price_type: PriceType = PriceType.ON_DEMAND
    creator: str = ""
    owner: str = ""

    @property
    def wanted(self) -> Wanted:
        """What its price is looked up for."""
        return Wanted(self.machine_type, self.region, self.zone, self.price_type)


def span_of(machine: Machine, number: int, start: float, end: float | None, *, running: bool) -> Span:
    """Returns a span of a machine; times are seconds since 1970."""
    return Span(
        tenant=machine.tenant,
        machine=machine.name,
        number=number,
        running=running,
        start=micros(start),
        end=None if end is None else micros(end),
        provider=machine.provider,
        template=machine.template,
        region=machine.region,
        zone=machine.zone,
        machine_type=machine.type,
        price_type=machine.price_type,
        creator=machine.creator,
        owner=machine.owner,
    )


def wanted_of(machine: Machine) -> Wanted:
    """Returns what the price of a machine is looked up for."""
    return Wanted(machine.type, machine.region, machine.zone, machine.price_type)


def micros(seconds: float) -> int:
    """Returns a time or length in seconds as whole microseconds."""
    return round(seconds * MICROS)
