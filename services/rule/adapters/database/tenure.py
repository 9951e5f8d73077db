"""The right of a process to work on executions: a lease of its own, and the end of those of dead processes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sutler.ids import new_id
from sutler.store import Database, leases
from sutler.store.holding import Lease, hold

from services.rule.adapters.database.lanes import HOLDERS


@asynccontextmanager
async def tenure(database: Database, lease_seconds: float) -> AsyncIterator[Lease]:
    """Holds a lease that only this process can have, and gives it back at the end.

    Leases of processes of this machine that are certainly dead are ended first, so that what they held goes on at
    once. Those of other machines run out.

    Args:
        database: Where leases are stored.
        lease_seconds: After how long others regard this process as dead if it says nothing.
    """
    await database.write(lambda tx: leases.end_dead(tx, HOLDERS))
    async with hold(database, HOLDERS + new_id(), ttl=timedelta(seconds=lease_seconds)) as lease:
        yield lease
