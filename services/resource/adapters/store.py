"""The store of ResourceService, in SQLite or PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TypeVar

from sutler.operations import records
from sutler.operations.model import Operation
from sutler.store import Database, Transaction, requests

from services.resource.adapters import encoding
from services.resource.adapters.governing import BUILT_IN_TENANT, Facts, Forgotten, Learned, begin_epoch
from services.resource.adapters.unit import TenantUnit
from services.resource.adapters.view import TenantView
from services.resource.builtin import BUILT_IN_TYPES
from services.resource.ports import SecretBox, Unit, View
from services.resource.resource_type import ResourceType
from services.resource.type_documents import document

T = TypeVar("T")


class DatabaseStore:
    """Implements :class:`services.resource.ports.Store`.

    Args:
        database: Where everything is kept.
        box: Encrypts secrets.
        remembered: How long answers to requests are remembered.
    """

    def __init__(self, database: Database, box: SecretBox, *, remembered: timedelta = requests.KEEP) -> None:
        self._database = database
        self._box = box
        self._remembered = remembered
        self._facts = Facts()

    async def read(self, tenant: str, fn: Callable[[View], T]) -> T:
        """Runs a short read of what a tenant has."""
        return await self._database.read(lambda tx: fn(TenantView(tx, tenant, self._facts, self._box)))

    def recall(self, tenant: str, fn: Callable[[View], T]) -> T | None:
        """Runs a read on what was last known, if that is enough for it; returns None if not."""
        try:
            return fn(TenantView(self._facts.memory(tenant), tenant, self._facts, self._box))
        except Forgotten:
            return None

    async def scan(self, tenant: str, fn: Callable[[View], T]) -> T:
        """Runs a longer read."""
        return await self._database.scan(lambda tx: fn(TenantView(tx, tenant, self._facts, self._box)))

    async def write(self, tenant: str, fn: Callable[[Unit], T], *, quick: bool = False) -> T:
        """Changes what a tenant has, and returns what ``fn`` returned when it is on disk."""
        learned: Learned | None = None

        def change(tx: Transaction) -> T:
            nonlocal learned
            unit = TenantUnit(tx, tenant, self._facts, self._box, self._remembered)
            result = fn(unit)
            learned = unit.learned()
            return result

        result = await self._database.write(change, quick=quick)
        if learned is not None:
            self._facts.learn(tenant, learned)
        return result

    async def ended(self, operation: Operation, seconds: float) -> Operation:
        """Returns an operation as it is when it has ended, or after this time."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        read = partial(records.get, tenant=operation.tenant, name=operation.name)
        while not operation.state.ended and (left := ends - loop.time()) > 0:
            seen = self._database.changes.generation
            operation = await self._database.read(read)
            if not operation.state.ended:
                await self._database.changes.wait(left, since=seen)
        return operation


async def seed(database: Database) -> None:
    """Stores the built-in types as this release knows them; they belong to no tenant."""
    await database.write(_seed)


def _seed(tx: Transaction) -> None:
    changed = [_seed_type(tx, known) for known in BUILT_IN_TYPES]
    if any(changed):
        begin_epoch(tx, BUILT_IN_TENANT)


def _seed_type(tx: Transaction, known: ResourceType) -> bool:
    """Stores a built-in type, and returns whether that changed anything."""
    place = (BUILT_IN_TENANT, known.key)
    row = tx.one("SELECT document FROM types WHERE tenant = ? AND key = ?", place)
    if row is None:
        first = replace(known, create_time=tx.now, update_time=tx.now)
        tx.execute(
            "INSERT INTO types (tenant, key, name, uid, revision, document) VALUES (?, ?, ?, ?, ?, ?)",
            (*place, known.name, known.uid, first.revision, encoding.json(document(first))),
        )
        return True
    stored = encoding.type_of(BUILT_IN_TENANT, row[0])
    same = replace(known, create_time=stored.create_time, update_time=stored.update_time, revision=stored.revision)
    if document(same) == document(stored):
        return False
    changed = replace(same, update_time=tx.now, revision=stored.revision + 1)
    tx.execute(
        "UPDATE types SET revision = ?, document = ? WHERE tenant = ? AND key = ?",
        (changed.revision, encoding.json(document(changed)), *place),
    )
    return True
