"""Follows resources for watches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sutler.store import Database
from sutler.tails import Missed, stopping
from sutler.watch import CHECKPOINT_SECONDS, Batch, Watcher

from services.resource.adapters.log import RevisionLog
from services.resource.adapters.replay import Place, step
from services.resource.watching import Scope

REPLAY = "replay"
"""The purpose of tokens within a replay: they hold a position in the log and the key of a resource."""


@dataclass(frozen=True, slots=True)
class Follower:
    """Follows resources for watches.

    Attributes:
        database: Where they are.
        watcher: Makes watches.
    """

    database: Database
    watcher: Watcher

    async def follow(
        self, tenant: str, scope: Scope, *, resume_token: str, replay: bool
    ) -> AsyncIterator[Batch[bytes]]:
        """Yields batches for ever, first of what exists if that is asked for; each change as it stands in a message.

        Raises:
            SutlerError: As :meth:`sutler.watch.Watcher.watch` does.
        """
        log = RevisionLog(self.database, tenant)
        name = f"resources\0{tenant}\0{scope.identity}"
        place = self._place(name, resume_token)
        if place is not None:
            await self.watcher.check(log, name, place.position)
        elif replay:
            place = Place((await log.bounds())[1])
        if place is not None:
            async for batch in self._replay(log, scope, name, place):
                yield batch
                resume_token = batch.resume_token
        batches = self.watcher.watch(
            log, self.database.changes, name=name, resume_token=resume_token, see=lambda change: change.sent(scope)
        )
        async for batch in batches:
            yield batch

    async def _replay(self, log: RevisionLog, scope: Scope, name: str, place: Place) -> AsyncIterator[Batch[bytes]]:
        """Yields what exists, the first batch and the last one also if they are empty."""
        loop = asyncio.get_running_loop()
        due = 0.0
        while place.last is not None:
            if self.watcher.shutdown.is_set():
                raise stopping()
            try:
                told = await self.database.scan(lambda tx, place=place: step(tx, log, scope, place))  # type: ignore[misc]
            except Missed as missed:
                raise self.watcher.too_slow(name, missed) from missed
            for changes, place in told:
                if changes or place.last is None or loop.time() >= due:
                    yield Batch(changes, self._token(name, place), replaying=place.last is not None)
                    due = loop.time() + CHECKPOINT_SECONDS

    def _token(self, name: str, place: Place) -> str:
        if place.last is None:
            return self.watcher.token(name, place.position)
        return self.watcher.sealer.seal(REPLAY, name, [place.position, place.last])

    def _place(self, name: str, token: str) -> Place | None:
        """Returns the place that a token within a replay holds; None if it is another token."""
        try:
            value = self.watcher.sealer.open(REPLAY, name, token)
        except ValueError:
            return None
        assert isinstance(value, list)
        return Place(*value)
