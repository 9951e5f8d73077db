"""What transactions need of the store. Every method raises Unavailable if the store does not answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from sutler.idempotency import Once

from services.erp.feed.model import Touch
from services.erp.journal import Entry
from services.erp.transactions.model import Step, Transaction

Lead = Callable[[str, Callable[[int], Awaitable[None]]], Awaitable[None]]
"""Does the work of a transaction in one process of all, again until it returns; the work gets the fencing number."""


class TransactionStore(Protocol):
    """Transactions of several steps."""

    async def begin(self, entry: Entry, steps: Sequence[Step]) -> Entry | None:
        """Stores a transaction, unless one of the same request is there: then returns that and stores nothing.

        One of the same request that was undone does not count; if it has the same name, the new one takes its place.

        Raises:
            AlreadyExists: If another has its name.
        """
        ...

    async def earlier(self, once: Once) -> Entry | None:
        """Returns the transaction that the same request began, unless it was undone."""
        ...

    async def load(self, uid: str) -> Transaction | None:
        """Returns a transaction; None if it is gone."""
        ...

    async def find(self, tenant: str, name: str) -> Transaction | None:
        """Returns a transaction that is kept, or the entry of a single write, by its name; None if there is none."""
        ...

    async def save(self, fence: int, entry: Entry, steps: Sequence[Step], touched: Sequence[Touch] = ()) -> None:
        """Stores where a transaction and some of its steps stand, and tells the feeds what was written.

        One that is not kept goes if nothing of it is left.

        Raises:
            Conflict: If another process is at it now (LEASE_LOST).
        """
        ...

    async def answered(self, entry: Entry | None, once: Once | None, result: Any) -> None:
        """Remembers the answer of a request; its transaction goes if it is not kept."""
        ...

    async def left_open(self, limit: int) -> list[Entry]:
        """Returns transactions that have not ended and that no living process is at."""
        ...
