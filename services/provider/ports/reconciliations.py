"""The operations of reconciliations, and the right to carry them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sutler.errors import SutlerError
from sutler.operations.model import Operation

from services.provider.reconcile.findings import Inquiry, Progress


@dataclass(frozen=True, slots=True)
class Turn:
    """The right of one replica to do a piece of background work.

    Attributes:
        name: What the work is.
        fence: Tells this holder from earlier and later ones.
    """

    name: str
    fence: int


class Reconciliations(Protocol):
    """The operations of reconciliations, within one transaction."""

    def begin(self, inquiry: Inquiry) -> Operation:
        """Stores the operation of a reconciliation."""
        ...

    def applying(self, tenant: str, provider: str) -> Operation | None:
        """Returns the open operation that reconciles a provider and acts on what it finds; None if there is none."""
        ...

    def open(self, place: str, limit: int) -> Sequence[tuple[Operation, Inquiry, Progress]]:
        """Returns the operations of reconciliations at a place that have not ended, the oldest first."""
        ...

    def resume(self, operation: Operation, turn: Turn) -> None:
        """Notes that a holder of the turn begins to carry an operation out, once more if another one did before.

        Raises:
            Conflict: If the operation has ended (LEASE_LOST).
        """
        ...

    def advance(self, operation: Operation, inquiry: Inquiry, progress: Progress, percent: int) -> None:
        """Stores how far an operation has come.

        Raises:
            Conflict: If it has ended (LEASE_LOST).
        """
        ...

    def succeed(self, operation: Operation, inquiry: Inquiry, progress: Progress) -> None:
        """Ends an operation with what it found.

        Raises:
            Conflict: If it has ended (LEASE_LOST).
        """
        ...

    def fail(self, operation: Operation, error: SutlerError) -> None:
        """Ends an operation with an error; does nothing if it has ended."""
        ...
