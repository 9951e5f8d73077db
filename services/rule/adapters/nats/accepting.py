"""Accepts events where NATS hands out the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sutler.idempotency import Once

from services.rule.adapters.nats.link import Link
from services.rule.events import Cause, Content
from services.rule.outcomes import Aftermath, Claim, Published
from services.rule.publishing import EventLog


class CarriedLog:
    """Accepts events in the database, from where they are carried. See :class:`services.rule.publishing.EventLog`.

    This process takes nothing at once of what they begin: the stream hands it to whoever has room.

    Args:
        log: Where they are accepted.
        link: Without it, events from outside are refused.
    """

    def __init__(self, log: EventLog, link: Link) -> None:
        self._log = log
        self._link = link

    async def accept(
        self, tenant: str, contents: Sequence[Content], cause: Cause, claim: Claim, once: Callable[[], Once | None]
    ) -> tuple[Sequence[Published], Aftermath]:
        """Stores events, and remembers the answer.

        Raises:
            Unavailable: If NATS cannot be reached (DEPENDENCY_UNAVAILABLE).
        """
        self._link.require()
        return await self._log.accept(tenant, contents, cause, Claim(), once)

    async def remember(self, once: Once | None, results: Sequence[Published]) -> None:
        """Remembers an answer that was not known yet when the events were accepted."""
        await self._log.remember(once, results)

    async def unfinished(self, tenant: str, names: Sequence[str]) -> Sequence[str]:
        """Returns which of some events have cascades that go on."""
        return await self._log.unfinished(tenant, names)

    async def failed(self, tenant: str, names: Sequence[str]) -> frozenset[str]:
        """Returns in the cascades of which events something failed or was cancelled."""
        return await self._log.failed(tenant, names)

    async def backlog(self) -> int:
        """Returns how many executions have not ended."""
        return await self._log.backlog()
