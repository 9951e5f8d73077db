"""Runs the domain's functions in transactions of the shared store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from sutler.idempotency import Once
from sutler.store import Database, Transaction, requests

from services.provider.adapters.stored.book import StoredBook
from services.provider.adapters.stored.prices import Tariffs
from services.provider.adapters.stored.shapes import Shapes
from services.provider.ports import Book

T = TypeVar("T")


class DatabaseStore:
    """The store of ProviderService; see :class:`services.provider.ports.Store`.

    Args:
        database: The database.
        shapes: How things look to callers.
        tell: Whether events are put into the outbox.
        keep: How long first answers are remembered.
    """

    def __init__(self, database: Database, shapes: Shapes, *, tell: bool, keep: timedelta) -> None:
        self.database = database
        self._shapes = shapes
        self._tariffs = Tariffs()
        self._tell = tell
        self._keep = keep

    async def change(self, fn: Callable[[Book], T], once: Once | None = None) -> T:
        """Makes a change; it is on disk when this returns."""

        def change(tx: Transaction) -> T:
            result = fn(self._book(tx))
            requests.remember(tx, once, result, self._keep)
            return result

        return await self.database.write(change)

    async def read(self, fn: Callable[[Book], T]) -> T:
        """Reads a few things by their keys."""
        return await self.database.read(lambda tx: fn(self._book(tx)))

    async def scan(self, fn: Callable[[Book], T]) -> T:
        """Reads many things."""
        return await self.database.scan(lambda tx: fn(self._book(tx)))

    def seen(self) -> int:
        """Returns the number of changes noticed so far."""
        return self.database.changes.generation

    async def wait(self, timeout: float, since: int) -> None:
        """Returns after the next change since ``since``, or after ``timeout`` seconds."""
        await self.database.changes.wait(timeout, since)

    def _book(self, tx: Transaction) -> Book:
        return StoredBook(tx, self._shapes, self._tariffs, tell=self._tell)
