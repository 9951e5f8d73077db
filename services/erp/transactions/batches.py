"""Batches that may take several calls to the ERP: run as transactions, which are kept if they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sutler.idempotency import Once

from services.erp.attempts import Attempts
from services.erp.connections import ErpContext
from services.erp.links import Link
from services.erp.transactions.model import StepSpec, Transaction
from services.erp.transactions.running import Running
from services.erp.transactions.store import TransactionStore
from services.erp.transactions.transactions import entry_of
from services.erp.users import Ask

T = TypeVar("T")


class Batches:
    """Runs batches.

    Args:
        store: Where transactions are stored.
        running: Runs them.
        attempts: Makes their entries in the journal.
    """

    def __init__(self, store: TransactionStore, running: Running, attempts: Attempts) -> None:
        self._store = store
        self._running = running
        self._attempts = attempts

    async def earlier(self, once: Once | None) -> Transaction | None:
        """Returns what the same request began before. Raises as :meth:`Running.earlier`."""
        return await self._running.earlier(once)

    async def begin(
        self,
        link: Link,
        ask: Ask,
        context: ErpContext | None,
        specs: Sequence[StepSpec],
        once: Once | None,
        more: Mapping[str, Any] | None = None,
        uid: str = "",
    ) -> Transaction:
        """Begins a batch, or returns the one that the same request began before.

        ``more`` is kept with it, as JSON data, for the answer; ``uid`` is that of what holds its keys already.
        """
        entry = entry_of(self._attempts, link, ask, context, once, kept=len(specs) > 1)
        entry = replace(entry, uid=uid or entry.uid, payload={**entry.payload, **(more or {})})
        return await self._running.begin(entry, specs)

    async def ended(self, transaction: Transaction) -> Transaction:
        """Waits for the end of a batch. Raises why it failed."""
        return await self._running.ended(transaction)

    async def answered(self, transaction: Transaction | None, once: Once | None, answer: T) -> T:
        """Remembers an answer, and returns it."""
        await self._store.answered(transaction.entry if transaction else None, once, answer)
        return answer

    @staticmethod
    def name(transaction: Transaction) -> str:
        """Returns the name of a batch that took several calls; empty for any other."""
        return "" if transaction.entry.repeatable else transaction.entry.name
