"""One attempt at an operation, as the code that carries it out sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sutler.operations import records
from sutler.operations.model import Operation, State
from sutler.store import Database, Transaction

MAX_STEP_BYTES = 1024


@dataclass(slots=True)
class Execution:
    """One attempt at an operation, as the code that carries it out sees it.

    Attributes:
        operation: The operation when the attempt began.
        database: Where it is stored.
        cancelled: Set when somebody asks for its end.
    """

    operation: Operation
    database: Database
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    _percent: int = 0

    async def progress(self, percent: int, step: str) -> None:
        """Tells how far the work is. Within one attempt it never goes back.

        Args:
            percent: 0 to 100.
            step: What is being done, for people; cut after 1024 bytes.

        Raises:
            Conflict: With LEASE_LOST if another process has taken over: stop at once.
        """
        self._percent = max(self._percent, min(100, percent))
        text = step.encode()[:MAX_STEP_BYTES].decode(errors="ignore")

        def change(tx: Transaction) -> None:
            stored = records.get(tx, self.operation.tenant, self.operation.name)
            keep = State.CANCELLING if stored.state is State.CANCELLING else State.RUNNING
            records.move(tx, self.operation.name, self.operation.fence, keep, progress=self._percent, step=text)

        await self.database.write(change, quick=True)

    def end(self, tx: Transaction, state: State, *, response: bytes = b"", error: bytes = b"") -> Operation:
        """Ends the operation in the caller's transaction, together with the change that it was for."""
        changes: dict[str, Any] = {"response": response, "error": error}
        if state is State.SUCCEEDED:
            changes |= {"progress": 100, "step": ""}
        return records.move(tx, self.operation.name, self.operation.fence, state, **changes)


Execute = Callable[[Execution], Awaitable[None]]
"""Carries one attempt out and ends the operation. Whatever it raises means: try again; so does no end at all."""
