"""One write, from the journal to its answer: done once, or known to be unknown."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sutler.context import current
from sutler.errors import Conflict, Exhausted, Invalid, SutlerError, Unavailable
from sutler.idempotency import Once
from sutler.ids import new_id
from sutler.status import to_status

from services.erp import faults
from services.erp.connections import ConnectionSpec
from services.erp.faults import AnswerLostError
from services.erp.feed.model import Touch
from services.erp.journal import Entry, Kind, State
from services.erp.links import Link
from services.erp.ports import JournalStore
from services.erp.users import Ask

MARGIN_SECONDS = 5.0
GRACE_SECONDS = 1.0
"""A lease that is younger need not be renewed."""

DOMAIN = "erp.sutler.dev"


@dataclass(slots=True)
class Attempt:
    """A write that is under way.

    Attributes:
        entry: Its entry in the journal.
        again: Whether an earlier attempt may have done it already.
        ids: The records, if an earlier attempt has certainly done it.
        lost: Whether an answer of this attempt was lost.
        applied: Whether the ERP has certainly done it.
    """

    entry: Entry
    again: bool = False
    ids: tuple[int, ...] | None = None
    lost: bool = False
    applied: bool = False


class Attempts:
    """Keeps the journal around writes.

    Args:
        journal: Where entries are stored.
        owner: Names this process.
    """

    def __init__(self, journal: JournalStore, owner: str) -> None:
        self._journal = journal
        self._owner = owner

    def entry(self, link: Link, ask: Ask, kind: Kind, model: str, once: Once | None, **more: Any) -> Entry:
        """Returns a new entry for a write of the current call."""
        call = current()
        return Entry(
            tenant=link.connection.tenant,
            connection=link.connection.id,
            connection_uid=link.connection.uid,
            uid=new_id(),
            kind=kind,
            model=model,
            method=call.method.rpartition("/")[2],
            request_id=once.request_id if once else "",
            digest=once.hash if once else b"",
            creator=call.principal.actor,
            username=ask.username,
            correlation_id=call.correlation_id,
            owner=self._owner,
            lease_time=time.time() + _longest(link.connection.spec),
            **more,
        )

    @asynccontextmanager
    async def journalled(self, entry: Entry) -> AsyncIterator[Attempt]:
        """Stores an entry before the block and settles it if the block fails.

        Raises:
            Conflict: If nobody can know what became of it (OUTCOME_UNKNOWN), or another process is at it
                (OPERATION_IN_PROGRESS).
            Unavailable: If an answer was lost and asking again is safe.
            Invalid: If the request id was used with another request (REQUEST_ID_REUSED).
        """
        attempt = await self._begin(entry)
        try:
            yield attempt
        except AnswerLostError as lost:
            if entry.repeatable:
                # Stays, so that a repeat knows that there was a first.
                await self._journal.take(attempt.entry, 0.0, self._owner)
                raise lost.error from lost
            unknown = faults.outcome_unknown(attempt.entry.name)
            await self._journal.unknown(attempt.entry, _status(unknown))
            raise unknown from lost
        except SutlerError:
            # One that was done, or may have been, stays: a repeat must know. Any other never happened.
            if not (attempt.applied or attempt.lost or attempt.again):
                await self._journal.drop(attempt.entry)
            elif entry.repeatable:
                await self._journal.take(attempt.entry, 0.0, self._owner)
            raise

    async def renew(self, attempt: Attempt, spec: ConnectionSpec) -> None:
        """Begins the lease of a write anew that has waited for its turn, before the ERP is asked.

        Raises:
            Exhausted: If it waited for so long that its outcome counts as unknown (OVERLOADED): it is not made then.
        """
        if attempt.entry.lease_time - time.time() >= _longest(spec) - GRACE_SECONDS:
            return
        if not await self._journal.take(attempt.entry, time.time() + _longest(spec), self._owner):
            raise Exhausted(
                "the write waited too long for its turn and is not made; try again later",
                metadata={"queue": attempt.entry.name},
            )

    async def settle_abandoned(self) -> None:
        """Notes of writes whose process died that nobody can know what became of them."""
        for entry in await self._journal.abandoned(100):
            await self._journal.unknown(entry, _status(faults.outcome_unknown(entry.name)))

    async def _begin(self, entry: Entry) -> Attempt:
        earlier = await self._journal.begin(entry)
        if earlier is None:
            return Attempt(entry)
        if earlier.digest != entry.digest:
            raise _reused(entry.request_id)
        if earlier.state is State.SUCCEEDED:
            return Attempt(earlier, again=True, ids=earlier.record_ids, applied=True)
        if earlier.state is State.OUTCOME_UNKNOWN:
            raise faults.outcome_unknown(earlier.name)
        if earlier.repeatable:
            await self._journal.take(earlier, entry.lease_time, self._owner)
            return Attempt(replace(earlier, owner=self._owner), again=True)
        left = earlier.lease_time - time.time()
        if left > 0:
            raise _in_progress(earlier, left)
        unknown = faults.outcome_unknown(earlier.name)
        await self._journal.unknown(earlier, _status(unknown))
        raise unknown


async def repeated(
    link: Link, attempt: Attempt, write: Callable[[], Awaitable[None]], verify: Callable[[], Awaitable[bool]]
) -> None:
    """Makes a write that is safe to repeat; after a lost answer it looks whether it was done, and repeats it if not.

    Raises:
        AnswerLostError: If the answer is lost again and again.
        SutlerError: Why the ERP refuses.
    """
    tries = link.connection.spec.attempts
    for count in range(tries):
        try:
            await write()
            return
        except AnswerLostError as lost:
            attempt.lost = True
            if count == tries - 1:
                raise
            try:
                if await verify():
                    return
            except Unavailable:
                raise lost from None


def touches(entry: Entry, ids: Sequence[int]) -> list[Touch]:
    """Returns what the feeds are to look at."""
    return [
        Touch(model=entry.model, record_id=one, correlation_id=entry.correlation_id, actor=entry.creator) for one in ids
    ]


def _longest(spec: ConnectionSpec) -> float:
    """Returns how many seconds a write may be under way at the most."""
    return spec.attempts * (spec.timeout_seconds + spec.queue_wait_seconds) + MARGIN_SECONDS


def _status(error: SutlerError) -> bytes:
    return to_status(error, DOMAIN).SerializeToString()


def _in_progress(earlier: Entry, left: float) -> Conflict:
    return Conflict(
        "another process of the gateway may be at this write; ask again later",
        reason="OPERATION_IN_PROGRESS",
        metadata={"operation": earlier.name},
        retry_after=timedelta(seconds=left),
    )


def _reused(request_id: str) -> Invalid:
    return Invalid(
        f"request_id {request_id} was used before with another request; use a new one",
        reason="REQUEST_ID_REUSED",
        metadata={"request_id": request_id},
    )
