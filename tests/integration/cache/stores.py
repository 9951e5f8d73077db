"""What somebody could do who reaches the database of a cache."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sutler.store import Database, open_database

from services.cache.adapters.database import MIGRATIONS
from tests.integration.cache.places import Place


@dataclass(frozen=True)
class Store:
    """The tables of a cache, past the service."""

    database: Database

    async def alter(self, sql: str, *values: Any) -> None:
        """Changes exactly one row."""
        changed = await self.database.write(lambda tx: tx.all(f"{sql} RETURNING 1", values))
        assert len(changed) == 1

    async def one(self, sql: str, *values: Any) -> tuple[Any, ...]:
        """Returns one row."""
        [row] = await self.database.read(lambda tx: tx.all(sql, values))
        return tuple(row)


@asynccontextmanager
async def store_of(place: Place) -> AsyncIterator[Store]:
    """Opens the database of a place; skips where entries are elsewhere."""
    if place.metadata != "local":
        pytest.skip("the entries are not in tables")
    async with open_database(place.data, name="cache", migrations=MIGRATIONS) as database:
        yield Store(database)
