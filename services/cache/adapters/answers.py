"""Which first answers are looked up, and where, and which calls may be cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Protocol

import structlog
from sutler.errors import SutlerError
from sutler.interceptors.idempotency import Answers

log = structlog.get_logger("sutler.cache")

_SERVICE = "/sutler.cache.v1.CacheService/"
UNREMEMBERED = frozenset(
    _SERVICE + name
    for name in (
        "PutEntry",
        "BatchPutEntries",
        "DeleteEntry",
        "BatchDeleteEntries",
        "TouchEntry",
        "BatchTouchEntries",
    )
)
"""What repeats safely, so that no record of it is kept (see the contract): a look-up would only cost time."""

BESIDE_ENTRIES = frozenset(
    _SERVICE + name for name in ("IncrementEntry", "InvalidateEntries", "ExtendLease", "ReleaseLease")
)
"""What is remembered in the same step as a change of entries, so in the cache's metadata backend."""

SECONDS = 2.0


CANCELLABLE = frozenset((_SERVICE + "LeaseEntry",))
"""What mostly waits. A repeat gets the same lease, so no record is kept either."""


class Finder(Protocol):
    """Where a backend remembers first answers."""

    async def find(self, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
        """Returns the hash of the request and the first answer, or None."""
        ...


class RememberedAnswers:
    """First answers of those methods that keep a record of them.

    A request does not say in which backend its answer is, so all are asked. One that does not answer cannot hold up the
    others: if it is that of the request, the request fails anyway, or finds out itself that it is a repeat.

    Args:
        answers: The records in the service's own database.
        others: Those in other metadata backends.
    """

    def __init__(self, answers: Answers, others: Sequence[Finder] = ()) -> None:
        self.late = answers.late
        self.cancellable: Collection[str] = CANCELLABLE
        self._answers = answers
        self._others = others

    async def find(self, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
        """Returns the hash of the request and the first answer, or None."""
        if method in UNREMEMBERED:
            return None
        found = await self._answers.find(tenant, method, request_id)
        if found is not None or method not in BESIDE_ENTRIES:
            return found
        looks = (_look(other, tenant, method, request_id) for other in self._others)
        return next((answer for answer in await asyncio.gather(*looks) if answer is not None), None)


async def _look(answers: Finder, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
    try:
        async with asyncio.timeout(SECONDS):
            return await answers.find(tenant, method, request_id)
    except (SutlerError, TimeoutError) as error:
        log.warning("cache.answers_not_found", error=str(error))
        return None
