"""Accepts reconciliations that somebody asks for, and calls them off."""

from __future__ import annotations

from dataclasses import dataclass

from sutler.errors import Cancelled, Conflict
from sutler.operations.model import Operation

from services.provider import declaring
from services.provider.checking import check_regions, kind_of
from services.provider.ports import Book, Kinds
from services.provider.reconcile.findings import DEFAULT_GRACE_SECONDS, Inquiry, OrphanPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody asks for.

    Attributes:
        tenant: Whose provider it is.
        provider: Its name.
        apply: Whether to act on the findings.
        policy: What to do with machines that have no record.
        grace: How old such a machine must be before it is touched, in seconds.
        regions: The regions to look at; all if empty.
        creator: The principal that asks.
        correlation_id: Ties log lines, traces and errors together.
    """

    tenant: str
    provider: str
    apply: bool = False
    policy: OrphanPolicy = OrphanPolicy.MARK
    grace: float = DEFAULT_GRACE_SECONDS
    regions: tuple[str, ...] = ()
    creator: str = ""
    correlation_id: str = ""


def accept(book: Book, kinds: Kinds, wish: Wish) -> Operation:
    """Stores the operation of a reconciliation and returns it; it is carried out where this process is.

    Raises:
        NotFound: If there is no such provider.
        Invalid: If it has no such region (REGION_UNKNOWN), or its type is not installed (PROVIDER_TYPE_UNKNOWN).
        Conflict: If one that acts on what it finds is under way (OPERATION_IN_PROGRESS).
    """
    provider = declaring.get(book.providers, wish.tenant, wish.provider)
    kind = kind_of(kinds, provider.type, "name")
    check_regions(kind, wish.regions, "regions")
    other = book.reconciliations.applying(wish.tenant, wish.provider)
    if other is not None:
        raise Conflict(
            f"{other.name} reconciles {wish.provider} now; wait for it or cancel it",
            reason="OPERATION_IN_PROGRESS",
            metadata={"operation": other.name},
            resource=wish.provider,
        )
    return book.reconciliations.begin(
        Inquiry(
            tenant=wish.tenant,
            provider=wish.provider,
            place=kind.place,
            apply=wish.apply,
            policy=wish.policy,
            grace=wish.grace,
            regions=wish.regions,
            creator=wish.creator,
            correlation_id=wish.correlation_id,
        )
    )


def call_off(book: Book, operation: Operation) -> None:
    """Ends a reconciliation whose end was asked for; what it has done by then stays done."""
    book.reconciliations.fail(operation, cancelled(operation))


def cancelled(operation: Operation) -> Cancelled:
    """Returns the error that a reconciliation ends with whose end was asked for."""
    return Cancelled(f"{operation.name} was cancelled", resource=operation.target)
