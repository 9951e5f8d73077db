"""Which resources have expired, and the loop that has them deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from sutler.store import Database
from sutler.store.holding import Lease, lead

from services.resource.expiring import (
    MAX_PAUSE_SECONDS,
    MIN_PAUSE_SECONDS,
    Expired,
    Expiry,
)

LEASE = "expiry"
_PAUSED_ENOUGH = (
    "state <> 'FAILED' OR update_time <= ? OR (update_time <= ? AND update_time + (update_time - expire_time) <= ?)"
)
"""Whether what failed has waited as long as it had been over its time when it failed."""


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
                "SELECT tenant, name, document, revision FROM resources WHERE expire_time <= ? AND operation = ''"
                f" AND ({_PAUSED_ENOUGH}) AND (tenant > ? OR (tenant = ? AND name > ?)) ORDER BY tenant, name LIMIT ?",
                (
                    *(tx.now, tx.now - MAX_PAUSE_SECONDS, tx.now - MIN_PAUSE_SECONDS, tx.now),
                    *(after.tenant, after.tenant, after.name, limit),
                ),
            )
        )
        return [
            Expired(tenant, name, orjson.loads(document)["updater"], revision)
            for tenant, name, document, revision in rows
        ]


async def expire(database: Database, expiry: Expiry, seconds: float) -> None:
    """Deletes what has expired, every so many seconds, in one process of all, until it is cancelled."""

    async def work(lease: Lease) -> None:
        while True:
            await expiry.sweep()
            await asyncio.sleep(seconds)

    await lead(database, LEASE, work)
