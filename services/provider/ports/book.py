"""A transaction over everything that is stored, and the store that runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol, TypeVar

from sutler.errors import SutlerError
from sutler.idempotency import Once
from sutler.operations.model import Operation

from services.provider.cost.tariffs import Tariff
from services.provider.machines import Machine
from services.provider.ports.reconciliations import Reconciliations, Turn
from services.provider.ports.shelves import (
    MachineShelf,
    PriceShelf,
    ProviderShelf,
    RequestShelf,
    SpanShelf,
    TemplateShelf,
)
from services.provider.requests import MachineRequest
from services.provider.switches import Switch, SwitchResult
from services.provider.wishes import MachineSet

T = TypeVar("T")


class Happening(Enum):
    """What can happen to a machine beside a change of its state; the event types of the contract."""

    LEASE_EXPIRED = "machine.lease_expired"
    """Its lease has ended before it did."""
    ADOPTED = "machine.adopted"
    """It was found without a record, and has got one."""
    LOST = "machine.lost"
    """It is there no more, and nobody ended it."""


class Operations(Protocol):
    """The operations that share the life of machine requests."""

    def begin(self, request: MachineRequest, method: str) -> str:
        """Stores the operation of a new request and returns its name."""
        ...

    def follow(self, request: MachineRequest, error: SutlerError | None) -> None:
        """Brings the operation of a request to where the request stands, and ends it if that has ended.

        Args:
            request: The request.
            error: What the operation ends with; None if it goes on, or ends with the request as its response.
        """
        ...

    def cancelling(self, limit: int) -> Sequence[tuple[str, str]]:
        """Returns tenants and names of requests whose operations somebody asked to cancel."""
        ...

    def get(self, tenant: str, name: str) -> Operation:
        """Returns an operation.

        Raises:
            NotFound: If there is none.
        """
        ...

    def begin_switch(self, switch: Switch, refused: Mapping[str, SutlerError]) -> Operation:
        """Stores the operation of a switch, with the errors of the machines that were refused at once."""
        ...

    def open_switches(self, limit: int) -> Sequence[Operation]:
        """Returns the operations of switches that have not ended."""
        ...

    def end_switch(self, operation: Operation, results: Sequence[SwitchResult]) -> None:
        """Ends the operation of a switch with one result for each machine."""
        ...


class SetShelf(Protocol):
    """What is known of machine sets beside their machines."""

    def get(self, tenant: str, resource: str) -> MachineSet | None:
        """Returns what is known of a set; None if it was never called for."""
        ...

    def put(self, known: MachineSet) -> None:
        """Stores what is known of a set."""
        ...


class Book(Protocol):
    """Everything that is stored, within one transaction.

    Attributes:
        now: Seconds since 1970.
    """

    @property
    def now(self) -> float:
        """The time of the transaction, seconds since 1970."""
        ...

    @property
    def providers(self) -> ProviderShelf:
        """The providers."""
        ...

    @property
    def templates(self) -> TemplateShelf:
        """The templates."""
        ...

    @property
    def requests(self) -> RequestShelf:
        """The machine requests."""
        ...

    @property
    def machines(self) -> MachineShelf:
        """The machines."""
        ...

    @property
    def price_tables(self) -> PriceShelf:
        """The price tables."""
        ...

    @property
    def spans(self) -> SpanShelf:
        """When machines ran."""
        ...

    def tariff(self, tenant: str, provider: str) -> Tariff:
        """Returns all that is known of the prices of a provider, also of before."""
        ...

    @property
    def operations(self) -> Operations:
        """The operations of machine requests."""
        ...

    @property
    def reconciliations(self) -> Reconciliations:
        """The operations of reconciliations."""
        ...

    @property
    def sets(self) -> SetShelf:
        """The machine sets."""
        ...

    def check(self, turn: Turn) -> None:
        """Makes sure that the holder of a turn still has it.

        Raises:
            Conflict: If it has run out or passed on (LEASE_LOST).
        """
        ...

    def tell(self, happening: Happening, machine: Machine) -> None:
        """Tells listeners, if there are any, what happened to a machine beside its state; part of the transaction."""
        ...


class Store(Protocol):
    """Runs functions of a :class:`Book`, each in a transaction of its own."""

    async def change(self, fn: Callable[[Book], T], once: Once | None = None) -> T:
        """Makes a change; it is on disk when this returns.

        Args:
            fn: What to do; may be run again, and has no effect outside of the book.
            once: Which request it answers.

        Raises:
            RequestRepeated: If that was answered before; then nothing has changed.
            SutlerError: What ``fn`` raises, or the store.
        """
        ...

    async def read(self, fn: Callable[[Book], T]) -> T:
        """Reads a few things by their keys."""
        ...

    async def scan(self, fn: Callable[[Book], T]) -> T:
        """Reads many things."""
        ...

    def seen(self) -> int:
        """Returns the number of changes noticed so far, for :meth:`wait`."""
        ...

    async def wait(self, timeout: float, since: int) -> None:
        """Returns after the next change since ``since``, or after ``timeout`` seconds."""
        ...
