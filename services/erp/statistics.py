"""The figures of connections over all processes of the gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import structlog
from sutler.errors import SutlerError

from services.erp.figures import summed
from services.erp.links import Links
from services.erp.ports import FigureStore

log = structlog.get_logger("erp.statistics")

EVERY_SECONDS = 2.0
ALIVE_SECONDS = 10.0
"""A process that has stored nothing for so long does not answer any more."""


class Statistics:
    """Tells what the processes have counted since they started: of this one up to now, of others up to 2 s ago.

    Args:
        links: Count what this process does.
        store: Where processes tell each other.
        process: Tells this process from others.
    """

    def __init__(self, links: Links, store: FigureStore, process: str) -> None:
        self._links = links
        self._store = store
        self._process = process
        self._stored: Mapping[str, Mapping[str, Any]] = {}

    async def get(self, tenant: str, connection_id: str) -> dict[str, Any]:
        """Returns the figures of a connection, with the names of the contract's ConnectionStats.

        Raises:
            NotFound: If there is no such connection.
            Unavailable: If the store does not answer.
        """
        link = await self._links.find(tenant, connection_id)
        uid = link.connection.uid
        others = await self._store.others(self._process, uid, ALIVE_SECONDS)
        return {"name": f"{link.name}/stats", **summed([link.figures.plain(), *others], time.time())}

    async def run(self) -> None:
        """Stores what has changed, until it is cancelled."""
        try:
            while True:
                with suppress(SutlerError):  # next time, then
                    await self._tell()
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            with suppress(SutlerError):
                await self._store.drop(self._process)

    async def _tell(self) -> None:
        now = {}
        for uid, figures in self._links.all_figures.items():
            try:
                now[uid] = figures.plain()
            except Exception:  # a driver tells some of them, and not all drivers are ours
                log.exception("connection cannot be counted", connection=uid)
        await self._store.put(self._process, {uid: one for uid, one in now.items() if self._stored.get(uid) != one})
        self._stored = now
