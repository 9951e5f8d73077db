"""Stores how far reconciliations have come, each in one transaction that the holder of the turn alone can make."""

from __future__ import annotations

from dataclasses import replace

from sutler.errors import SutlerError
from sutler.operations.model import Operation

from services.provider.diagnostics import Category, Diagnostic, Kind
from services.provider.ports import Book, Turn
from services.provider.reconcile.findings import Inquiry, Progress
from services.provider.reconcile.passing import Pass, Step

MAX_DIAGNOSTICS = 100


def begin(book: Book, turn: Turn, operation: Operation) -> None:
    """Notes that an operation is being carried out."""
    book.check(turn)
    book.reconciliations.resume(operation, turn)


def advance(book: Book, comparing: Pass, operation: Operation, inquiry: Inquiry, step: Step) -> None:
    """Stores one step of an operation with what it does."""
    book.reconciliations.advance(operation, inquiry, step.progress, step.percent)
    comparing.settle(book, step)


def is_over(book: Book, inquiry: Inquiry, progress: Progress) -> bool:
    """Returns whether all machines that a reconciliation removes have ended."""
    removing = book.machines.named(inquiry.tenant, progress.removing)
    return all(machine.state.ended for machine in removing.values())


def finish(book: Book, turn: Turn, operation: Operation, inquiry: Inquiry, progress: Progress) -> None:
    """Ends an operation with what it found, and what it could not look at."""
    book.check(turn)
    if inquiry.apply:
        note_reconciled(book, turn, inquiry)
    places = book.machines.elsewhere(inquiry.tenant, inquiry.provider, inquiry.place)
    told = tuple(_elsewhere(inquiry, place, count) for place, count in places.items())[:MAX_DIAGNOSTICS]
    book.reconciliations.succeed(operation, inquiry, replace(progress, diagnostics=told))


def fail(book: Book, turn: Turn, operation: Operation, error: SutlerError) -> None:
    """Ends an operation with an error."""
    book.check(turn)
    book.reconciliations.fail(operation, error)


def note_reconciled(book: Book, turn: Turn, inquiry: Inquiry) -> None:
    """Stores when a provider was reconciled to the end."""
    book.check(turn)
    provider = book.providers.get(inquiry.tenant, inquiry.provider)
    if provider is not None:
        book.providers.observe(replace(provider, reconcile_time=book.now))


def _elsewhere(inquiry: Inquiry, place: str, count: int) -> Diagnostic:
    return Diagnostic(
        category=Category.INTERNAL,
        kind=Kind.TRANSIENT,
        code="PLACE",
        summary=f"{count} machines are at {place}, which only a service there can see",
        provider=inquiry.provider,
        count=count,
    )
