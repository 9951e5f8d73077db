"""Which resources have expired, and the loop that has them deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sutler.store import Database
from sutler.store.holding import Lease, lead

from services.resource.expiring import Expired, Expiry

LEASE = "expiry"


@dataclass(frozen=True, slots=True)
class StoredCalendar:
    """Implements :class:`services.resource.expiring.Calendar`.

    Attributes:
        database: Where resources are kept.
    """

    database: Database

    async def expired(self, after: Expired, limit: int) -> Sequence[Expired]:
        """Returns what has expired and nothing works on, after a given one, by tenant and name."""
        rows = await self.database.scan(
            lambda tx: tx.all(
                "SELECT tenant, name, document FROM resources WHERE expire_time <= ? AND operation = ''"
                " AND (tenant > ? OR (tenant = ? AND name > ?)) ORDER BY tenant, name LIMIT ?",
                (tx.now, after.tenant, after.tenant, after.name, limit),
            )
        )
        return [Expired(tenant, name, orjson.loads(document)["updater"]) for tenant, name, document in rows]


async def expire(database: Database, expiry: Expiry, seconds: float) -> None:
    """Deletes what has expired, every so many seconds, in one process of all, until it is cancelled."""

    async def work(lease: Lease) -> None:
        while True:
            await expiry.sweep()
            await asyncio.sleep(seconds)

    await lead(database, LEASE, work)
