"""Deletes resources whose time has come, with all below them. A lock postpones that until it is lifted."""

from __future__ import annotations

from collections.abc import Sequence
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


@dataclass(frozen=True, slots=True)
class Expired:
    """A resource whose time has come: whose it is, its name, and the subject of who changed it last."""

    tenant: str
    name: str
    updater: str


NONE = Expired("", "", "")
"""Comes before all others."""


class Calendar(Protocol):
    """Knows what has expired."""

    async def expired(self, after: Expired, limit: int) -> Sequence[Expired]:
        """Returns what has expired and nothing works on, after a given one, by tenant and name."""
        ...


class Expiry:
    """Deletes what has expired.

    Args:
        calendar: Knows what has expired.
        removals: Deletes resources.
    """

    def __init__(self, calendar: Calendar, removals: Removals) -> None:
        self._calendar = calendar
        self._removals = removals

    async def sweep(self) -> int:
        """Begins to delete all that has expired, and returns how many were begun.

        What cannot be deleted now, because of a lock or of something that works on it, is tried again by the next
        sweep; it does not hold up the others.
        """
        begun, after = 0, NONE
        while found := await self._calendar.expired(after, BATCH):
            for expired in found:
                begun += await self._delete(expired)
            after = found[-1]
        return begun

    async def _delete(self, expired: Expired) -> bool:
        """Deletes in the name of who changed the resource last, and so left the time as it is."""
        principal = Principal(expired.updater, expired.tenant)
        caller = Caller(expired.tenant, principal, "DeleteResource", correlation_id=new_id())
        removal = Removal(expired.name, allow_missing=True, force=True, cause=Cause.EXPIRY)
        try:
            await self._removals.delete(caller, removal, once=None, validate_only=False)
        except SutlerError as error:
            log.info("not deleted yet", resource=expired.name, reason=error.reason)
            return False
        return True
