"""A store that the domain can ask and change.

Functions given to :class:`Store` are plain and may run again; they decide on what the view shows, as if alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from sutler.operations.model import Operation

from services.resource.ports.unit import Unit
from services.resource.ports.view import View

T = TypeVar("T")


class Store(Protocol):
    """Where everything is kept."""

    async def read(self, tenant: str, fn: Callable[[View], T]) -> T:
        """Runs a short read of what a tenant has."""
        ...

    def recall(self, tenant: str, fn: Callable[[View], T]) -> T | None:
        """Runs a read on what was last known to govern resources, if that is enough for it; returns None if not.

        That may be out of date, which only a write finds out.
        """
        ...

    async def scan(self, tenant: str, fn: Callable[[View], T]) -> T:
        """Runs a longer read."""
        ...

    async def write(self, tenant: str, fn: Callable[[Unit], T], *, quick: bool = False) -> T:
        """Changes what a tenant has, and returns what ``fn`` returned when it is on disk.

        Args:
            tenant: Whose it is.
            fn: Makes the change; may run again.
            quick: Whether that takes a few milliseconds at most.
        """
        ...

    async def ended(self, operation: Operation, seconds: float) -> Operation:
        """Returns an operation as it is when it has ended, or after this time."""
        ...
