"""Changes and reads that the tests use."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sutler.store import Database, Transaction


def put(key: str, number: int = 0) -> Callable[[Transaction], int]:
    """Inserts an item."""
    return lambda tx: tx.execute("INSERT INTO items (key, number) VALUES (?, ?)", (key, number))


def add(key: str) -> Callable[[Transaction], int]:
    """Adds 1 to an item by reading and writing, as a change that is not alone would get wrong."""

    def change(tx: Transaction) -> int:
        row = tx.one("SELECT number FROM items WHERE key = ?", (key,))
        number = (row[0] if row else 0) + 1
        tx.execute(
            "INSERT INTO items (key, number) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET number = excluded.number",
            (key, number),
        )
        return int(number)

    return change


def keys(tx: Transaction) -> list[str]:
    """Returns all keys in order."""
    return [row[0] for row in tx.all("SELECT key FROM items ORDER BY key")]


def number(key: str) -> Callable[[Transaction], int | None]:
    """Returns an item's number."""

    def read(tx: Transaction) -> int | None:
        row = tx.one("SELECT number FROM items WHERE key = ?", (key,))
        return row[0] if row else None

    return read


@asynccontextmanager
async def busy_writer(db: Database) -> AsyncIterator[threading.Event]:
    """Keeps the writer within one change until the event that it yields is set, or the block ends."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(tx: Transaction) -> None:
        tx.one("SELECT 1")
        begun.set()
        assert go_on.wait(30)

    holding = asyncio.create_task(db.write(hold))
    await asyncio.to_thread(begun.wait, 30)
    try:
        yield go_on
    finally:
        go_on.set()
        await asyncio.wait([holding])
        holding.exception()
