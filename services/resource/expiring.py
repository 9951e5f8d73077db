"""Deletes resources whose time has come, with all below them, and tries again more and more seldom what cannot go.

What failed waits as long as it had been over its time when it failed, so each pause is twice the one before; that is in
the rows themselves, for whatever process looks next. What is refused, such as for a lock, changes nothing that is
stored; this process remembers until when it need not ask again, unless the resource has changed by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog
from sutler.context import Principal
from sutler.errors import SutlerError
from sutler.ids import new_id

from services.resource.callers import Caller
from services.resource.history import Cause
from services.resource.removing import Removal, Removals

log = structlog.get_logger("resource.expiring")

BATCH = 100
MIN_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 3600.0
"""The longest pause after a delete that failed."""

MAX_REFUSED_SECONDS = 60.0
"""The longest pause after a delete that was refused, which whoever lifts a lock above it need wait."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A resource whose time has come: whose it is, its name, who changed it last, and its last revision."""

    tenant: str
    name: str
    updater: str
    revision: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A delete that was refused: in which revision of the resource, how often, and until when it is not asked for."""

    revision: int
    times: int
    until: float


NONE = Expired("", "", "", 0)
"""Comes before all others."""


class Calendar(Protocol):
    """Knows what has expired."""

    async def expired(self, after: Expired, limit: int) -> Sequence[Expired]:
        """Returns what has expired and nothing works on, after a given one, by tenant and name.

        What failed is left out until its pause is over.
        """
        ...


class Expiry:
    """Deletes what has expired.

    Args:
        calendar: Knows what has expired.
        removals: Deletes resources.
        clock: Returns seconds that never go back; for tests.
    """

    def __init__(self, calendar: Calendar, removals: Removals, clock: Callable[[], float] = time.monotonic) -> None:
        self._calendar = calendar
        self._removals = removals
        self._clock = clock
        self._refused: dict[tuple[str, str], Refused] = {}

    async def sweep(self) -> int:
        """Begins to delete all that has expired, and returns how many were begun.

        What cannot be deleted now, because of a lock or of something that works on it, is tried again by a later
        sweep; it does not hold up the others.
        """
        begun, after = 0, NONE
        seen: set[tuple[str, str]] = set()
        while found := await self._calendar.expired(after, BATCH):
            for expired in found:
                seen.add((expired.tenant, expired.name))
                if self._is_due(expired):
                    begun += await self._delete(expired)
            after = found[-1]
        self._refused = {at: refused for at, refused in self._refused.items() if at in seen}
        return begun

    def _is_due(self, expired: Expired) -> bool:
        refused = self._refused.get((expired.tenant, expired.name))
        return refused is None or refused.revision != expired.revision or refused.until <= self._clock()

    def _note(self, expired: Expired) -> None:
        at = (expired.tenant, expired.name)
        before = self._refused.get(at)
        times = before.times + 1 if before and before.revision == expired.revision else 1
        pause = min(MAX_REFUSED_SECONDS, MIN_PAUSE_SECONDS * 2.0 ** min(times - 1, 10))
        self._refused[at] = Refused(expired.revision, times, self._clock() + pause)

    async def _delete(self, expired: Expired) -> bool:
        """Deletes in the name of who changed the resource last, and so left the time as it is."""
        principal = Principal(expired.updater, expired.tenant)
        caller = Caller(expired.tenant, principal, "DeleteResource", correlation_id=new_id())
        removal = Removal(expired.name, allow_missing=True, force=True, cause=Cause.EXPIRY)
        try:
            await self._removals.delete(caller, removal, once=None, validate_only=False)
        except SutlerError as error:
            log.info("not deleted yet", resource=expired.name, reason=error.reason)
            self._note(expired)
            return False
        return True
