"""Deletes dead letters for good, as an operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sutler.idempotency import Once
from sutler.operations import Execution, Operation, State

ALL = "*"
"""Stands for a filter that everything matches."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge has deleted, or would delete.

    Attributes:
        count: How many dead letters.
        sample: The names of some that would be deleted.
    """

    count: int
    sample: Sequence[str] = ()


class Purges(Protocol):
    """Stores purges, and deletes for them."""

    async def preview(self, tenant: str, filter_: str) -> Purged:
        """Returns what a purge would delete now. Raises Invalid (FILTER_INVALID)."""
        ...

    async def begin(self, tenant: str, creator: str, filter_: str, once: Once | None) -> Operation:
        """Stores a purge of what matches now. Raises Invalid (FILTER_INVALID)."""
        ...

    async def delete_some(self, operation: Operation) -> bool:
        """Deletes some of what is left, counts it, and returns whether there may be more.

        Raises:
            Conflict: If another process goes on with it (LEASE_LOST).
        """
        ...

    async def end(self, operation: Operation, state: State) -> None:
        """Ends a purge. Raises Conflict (LEASE_LOST)."""
        ...


async def purge(execution: Execution, purges: Purges) -> None:
    """Carries a purge out, from where an earlier attempt left it."""
    while not execution.cancelled.is_set():
        if not await purges.delete_some(execution.operation):
            await purges.end(execution.operation, State.SUCCEEDED)
            return
    await purges.end(execution.operation, State.CANCELLED)
