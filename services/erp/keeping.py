"""What the gateway does by itself, in one process of all: logs in, settles what a dead process left, forgets."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from sutler.errors import SutlerError

from services.erp.attempts import Attempts
from services.erp.connections import Connection, State
from services.erp.links import Links
from services.erp.ports import ConnectionStore

log = structlog.get_logger("erp.keeping")

EVERY_SECONDS = 1.0
FORGET_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0
AT_ONCE = 1000
UNSURE = (State.STARTING, State.DEGRADED, State.UNHEALTHY)


@dataclass(slots=True)
class _Tried:
    """When a connection is to be checked again."""

    revision: int
    due: float = 0.0
    failures: int = 0


class Keeper:
    """Checks connections that are not healthy, and settles writes whose process died.

    Args:
        store: Where connections are stored.
        links: Opens them.
        attempts: Keeps the journal.
        forget: Deletes what has been kept long enough.
        recover: Begins with transactions whose process died.
    """

    def __init__(
        self,
        store: ConnectionStore,
        links: Links,
        attempts: Attempts,
        forget: Callable[[], Awaitable[None]],
        recover: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._links = links
        self._attempts = attempts
        self._forget = forget
        self._recover = recover
        self._tried: dict[str, _Tried] = {}
        self._checks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Works until it is cancelled."""
        forget_at = 0.0
        try:
            while True:
                await self._check()
                await self._attempts.settle_abandoned()
                await self._recover()
                if time.monotonic() >= forget_at:
                    await self._forget()
                    forget_at = time.monotonic() + FORGET_SECONDS
                await asyncio.sleep(EVERY_SECONDS)
        finally:
            for task in self._checks.values():
                task.cancel()
            await asyncio.gather(*self._checks.values(), return_exceptions=True)

    async def _check(self) -> None:
        """Begins the checks that are due; a connection that answers slowly does not hold up the others."""
        unsure = {one.uid: one for one in await self._store.in_state(UNSURE, AT_ONCE)}
        self._tried = {uid: one for uid, one in self._tried.items() if uid in unsure}
        for uid, connection in unsure.items():
            tried = self._tried.get(uid)
            if tried is None or tried.revision != connection.revision:
                tried = self._tried[uid] = _Tried(connection.revision)
            if uid not in self._checks and time.monotonic() >= tried.due:
                task = asyncio.create_task(self._try(connection, tried), name=f"check {uid}")
                self._checks[uid] = task
                task.add_done_callback(lambda _, uid=uid: self._checks.pop(uid, None))  # type: ignore[misc]

    async def _try(self, connection: Connection, tried: _Tried) -> None:
        try:
            link = self._links.of(connection)
            link.observer.follow(connection.condition)
            await link.check(link.own_ask(), anew=True)
            tried.failures = 0
        except SutlerError as error:
            tried.failures += 1
            log.info("connection not usable", connection=connection.name, reason=error.reason)
        except Exception:
            tried.failures += 1
            log.exception("check failed", connection=connection.name)
        pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** min(tried.failures, 10))
        tried.due = time.monotonic() + pause * random.uniform(0.75, 1.0)
