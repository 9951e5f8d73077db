"""Keeps a place reconciled: carries out what is asked for, and goes round all providers from time to time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sutler.errors import Conflict, FailedPrecondition, SutlerError, not_found
from sutler.operations.model import Operation, State

from services.provider.patience import Patience
from services.provider.ports import Book, ProviderKind, Store, Turn
from services.provider.providers import Provider
from services.provider.reconcile import storing
from services.provider.reconcile.accepting import cancelled
from services.provider.reconcile.asking import Unseen
from services.provider.reconcile.findings import Inquiry, OrphanPolicy, Progress
from services.provider.reconcile.passing import Pass

log = structlog.get_logger("sutler.provider")

POLL_SECONDS = 0.25
PAGE = 100


@dataclass(frozen=True, slots=True)
class Rounds:
    """How providers are reconciled without being asked.

    Attributes:
        every: Seconds between two rounds.
        grace: How old a machine without a record must be before it is touched, in seconds.
        policy: What to do with such machines.
    """

    every: float
    grace: float
    policy: OrphanPolicy


class Keeper:
    """Reconciles the providers of one type at one place, in the one process that owns the place and has the turn.

    Args:
        store: What is stored.
        kind: The type of the providers.
        rounds: How they are reconciled without being asked.
    """

    def __init__(self, store: Store, kind: ProviderKind, rounds: Rounds) -> None:
        self._store = store
        self._kind = kind
        self._rounds = rounds
        self._later = Patience()

    async def run(self, turn: Turn) -> None:
        """Reconciles until it is cancelled.

        Raises:
            Conflict: If another replica does so by now (LEASE_LOST).
        """
        due = time.monotonic()
        while True:
            asked = await self._store.read(lambda book: book.reconciliations.open(self._kind.place, PAGE))
            for operation, inquiry, progress in asked:
                if not self._later.waits(operation.name):
                    await self._carry_out(turn, operation, inquiry, progress)
            if time.monotonic() >= due:
                await self._go_round(turn)
                due = time.monotonic() + self._rounds.every
            await asyncio.sleep(POLL_SECONDS)

    async def _carry_out(self, turn: Turn, operation: Operation, inquiry: Inquiry, progress: Progress) -> None:
        """Carries an operation out from where it stands; what goes wrong keeps no other."""
        try:
            if operation.state is State.CANCELLING:
                raise Unseen(cancelled(operation))
            if not progress.compared:
                progress = await self._compare(turn, operation, inquiry, progress)
            if await self._store.read(lambda book: storing.is_over(book, inquiry, progress)):
                await self._store.change(lambda book: storing.finish(book, turn, operation, inquiry, progress))
            self._later.done(operation.name)
        except Unseen as problem:
            error = problem.error
            await self._store.change(lambda book: storing.fail(book, turn, operation, error))
        except Conflict:
            await self._store.read(lambda book: book.check(turn))  # else the operation has ended, which is all right
        except SutlerError:
            raise
        except Exception:
            pause = self._later.failed(operation.name)
            log.exception("reconciliation interrupted", operation=operation.name, again_in=pause)

    async def _compare(self, turn: Turn, operation: Operation, inquiry: Inquiry, progress: Progress) -> Progress:
        """Compares everything that was not compared yet, and stores each step with what it does."""
        provider = await self._provider(inquiry)
        await self._store.change(partial(storing.begin, turn=turn, operation=operation))
        comparing = Pass(self._store, self._kind, turn, inquiry)
        async for step in comparing.steps(provider, progress):
            progress = step.progress
            await self._store.change(
                partial(storing.advance, comparing=comparing, operation=operation, inquiry=inquiry, step=step)
            )
        return progress

    async def _provider(self, inquiry: Inquiry) -> Provider:
        provider = await self._store.read(lambda book: book.providers.get(inquiry.tenant, inquiry.provider))
        if provider is None:
            raise Unseen(not_found(inquiry.provider))
        if not provider.usable:
            raise Unseen(
                FailedPrecondition(
                    f"{provider.name} is switched off; enable it to reconcile it",
                    reason="PROVIDER_DISABLED",
                    metadata={"provider": provider.name},
                    resource=provider.name,
                )
            )
        return provider

    async def _go_round(self, turn: Turn) -> None:
        """Reconciles every provider that is switched on."""
        after = ("", "")
        while True:
            page: Sequence[Provider] = await self._store.scan(
                partial(_of_type, kind=self._kind.facts.type, after=after)
            )
            for provider in page:
                if provider.usable:
                    await self._reconcile(turn, provider)
            if len(page) < PAGE:
                return
            after = (page[-1].tenant, page[-1].name)

    async def _reconcile(self, turn: Turn, provider: Provider) -> None:
        """Reconciles one provider; one that cannot be seen is told, and looked at in the next round."""
        inquiry = Inquiry(
            tenant=provider.tenant,
            provider=provider.name,
            place=self._kind.place,
            apply=True,
            policy=self._rounds.policy,
            grace=self._rounds.grace,
        )
        comparing = Pass(self._store, self._kind, turn, inquiry)
        progress = Progress()
        try:
            async for step in comparing.steps(provider, progress):
                progress = step.progress
                if step.findings:
                    await self._store.change(partial(comparing.settle, step=step))
            await self._store.change(lambda book: storing.note_reconciled(book, turn, inquiry))
        except Unseen as problem:
            log.warning("not reconciled", provider=provider.name, reason=problem.error.reason, error=str(problem))
        except SutlerError:
            raise
        except Exception:  # one fault keeps no other provider
            log.exception("not reconciled", provider=provider.name)
        if progress.count:
            log.warning(
                "provider and record differed",
                provider=provider.name,
                tenant=provider.tenant,
                orphans=progress.orphans,
                lost=progress.lost,
                changed=progress.changed,
            )


def _of_type(book: Book, kind: str, after: tuple[str, str]) -> Sequence[Provider]:
    return book.providers.of_type(kind, after, PAGE)
