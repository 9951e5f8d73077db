"""Accepts events from outside: each with its own result, durable before the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from sutler.errors import SutlerError, invalid
from sutler.idempotency import Once

from services.rule.backlog import Backlog
from services.rule.endings import Endings
from services.rule.events import Cause, Content
from services.rule.measures import Measures
from services.rule.outcomes import Aftermath, Claim, Published
from services.rule.values import MAX_EXTRA_BYTES, size

MAX_DELIVERY_SECONDS = 366 * 86_400
RESERVED = frozenset(
    ("id", "source", "type", "subject", "time", "specversion", "datacontenttype", "dataschema", "data", "database64")
)
"""Names that no extension attribute may have."""


class EventLog(Protocol):
    """Where events are accepted."""

    async def accept(
        self, tenant: str, contents: Sequence[Content], cause: Cause, claim: Claim, once: Callable[[], Once | None]
    ) -> tuple[Sequence[Published], Aftermath]:
        """Stores events, and remembers the answer.

        Args:
            tenant: Whose they are.
            contents: The events.
            cause: Where they come from.
            claim: What this process takes at once of what they begin.
            once: What remembers the answer.
        """
        ...

    async def remember(self, once: Once | None, results: Sequence[Published]) -> None:
        """Remembers an answer that was not known yet when the events were accepted."""
        ...

    async def unfinished(self, tenant: str, names: Sequence[str]) -> Sequence[str]:
        """Returns which of some events have cascades that go on."""
        ...

    async def failed(self, tenant: str, names: Sequence[str]) -> frozenset[str]:
        """Returns in the cascades of which events something failed or was cancelled."""
        ...

    async def backlog(self) -> int:
        """Returns how many executions have not ended."""
        ...


class Follower(Protocol):
    """Begins what follows from accepted events."""

    holder: int

    @property
    def room(self) -> int:
        """How many more executions this process may take."""
        ...

    def follow(self, aftermath: Aftermath) -> None:
        """Begins what follows."""
        ...


class Publishing:
    """Accepts events.

    Args:
        log: Where they are stored.
        follower: Begins what follows.
        backlog: Refuses events when too much waits.
        endings: Told when cascades end.
        measures: Counts.
        stopping: Says whether the server stops.
        clock: Gives epoch seconds.
    """

    def __init__(
        self,
        log: EventLog,
        follower: Follower,
        backlog: Backlog,
        endings: Endings,
        measures: Measures,
        stopping: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._follower = follower
        self._backlog = backlog
        self._endings = endings
        self._measures = measures
        self._stopping = stopping
        self._clock = clock
        self._accepting: set[asyncio.Future[Sequence[Published]]] = set()

    async def publish(
        self,
        tenant: str,
        rows: Sequence[Content | SutlerError],
        cause: Cause,
        once: Callable[[Callable[[Sequence[Published]], Sequence[Published]]], Once | None],
        wait: float | None = None,
        *,
        patient: bool = False,
    ) -> Sequence[Published]:
        """Accepts events and returns the result of each, in order.

        Args:
            tenant: Whose they are.
            rows: The events; of one that was refused already, the error.
            cause: Where they come from.
            once: Makes what remembers the answer, from what turns the results of accepted events into all results.
            wait: For how many seconds to wait for the ends of the cascades; None for not at all.
            patient: Waits while too much waits already, rather than to refuse.

        Raises:
            Exhausted: If too much waits already, or there is no room on the disk.
        """
        if patient:
            await self._backlog.below(self._stopping)
        self._backlog.check()
        checked = [check_event(row, self._clock()) for row in rows]
        contents = [row for row in checked if isinstance(row, Content)]

        def whole(accepted: Sequence[Published]) -> Sequence[Published]:
            given = iter(accepted)
            return [next(given) if isinstance(row, Content) else Published(error=row) for row in checked]

        def remembering() -> Once | None:
            return None if wait is not None else once(whole)

        # Shielded: what the change has claimed for this process must begin, also if the caller is gone by then.
        accepting = asyncio.ensure_future(self._accept(tenant, contents, cause, remembering))
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        accepted = await asyncio.shield(accepting)
        if wait is not None:
            accepted = await self._waited(tenant, accepted, wait)
            await self._log.remember(once(whole), accepted)
        return whole(accepted)

    async def _accept(
        self, tenant: str, contents: Sequence[Content], cause: Cause, once: Callable[[], Once | None]
    ) -> Sequence[Published]:
        claim = Claim(self._follower.holder, self._follower.room)
        accepted, aftermath = await self._log.accept(tenant, contents, cause, claim, once)
        self._follower.follow(aftermath)
        self._backlog.add(aftermath.begun)
        self._measures.accepted(sum(1 for result in accepted if result.name and not result.duplicate))
        return accepted

    async def _waited(self, tenant: str, results: Sequence[Published], timeout: float) -> Sequence[Published]:
        names = list(dict.fromkeys(result.name for result in results if result.name))

        async def unfinished(some: Sequence[str]) -> Sequence[str]:
            return await self._log.unfinished(tenant, some)

        await self._endings.wait(names, timeout, unfinished, self._stopping)
        open_ = set(await unfinished(names))
        failed = await self._log.failed(tenant, names)
        return [
            replace(result, complete=result.name not in open_, failed=result.name in failed) if result.name else result
            for result in results
        ]


def check_event(row: Content | SutlerError, now: float) -> Content | SutlerError:
    """Returns an event, or why it is refused where the contract cannot say it."""
    if isinstance(row, SutlerError):
        return row
    for key in row.extensions:
        if key in RESERVED:
            return invalid(f"extensions[{key!r}]", "is the name of another attribute", reason="FIELD_INVALID")
    if row.deliver_time is not None and row.deliver_time > now + MAX_DELIVERY_SECONDS:
        return invalid("deliver_time", "is at most 366 days ahead", reason="FIELD_INVALID")
    if row.extra and size(row.extra) > MAX_EXTRA_BYTES:
        limit = {"limit_bytes": str(MAX_EXTRA_BYTES)}
        return invalid("extra", f"has at most {MAX_EXTRA_BYTES} bytes", reason="TOO_LARGE", metadata=limit)
    return row


def refuse_if_none(results: Sequence[object]) -> None:
    """Raises the first error if there is nothing but errors, so that a sender who looks at the status alone notices.

    Raises:
        SutlerError: The error of the first.
    """
    first = results[0] if results else None
    if isinstance(first, SutlerError) and all(isinstance(result, SutlerError) for result in results):
        raise first
