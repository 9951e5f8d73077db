"""The work behind VerifyCache."""

from __future__ import annotations

import asyncio

from sutler.errors import NotFound
from sutler.idempotency import Once
from sutler.operations import Operation, State

from services.cache.checking import StoppedError
from services.cache.managing import Caches
from services.cache.problems import Run
from services.cache.verification import Tools, Verification


class Verifier:
    """Compares the metadata of caches with their values.

    Args:
        caches: Finds caches.
        tools: What runs work with.
    """

    def __init__(self, caches: Caches, tools: Tools) -> None:
        self._caches = caches
        self._tools = tools

    async def begin(
        self, tenant: str, cache_id: str, creator: str, once: Once | None, *, repair: bool, metadata_only: bool
    ) -> Operation:
        """Begins to verify a cache.

        Args:
            tenant: Whose cache it is.
            cache_id: Which.
            creator: Who asks for it.
            once: What remembers the answer.
            repair: Whether problems are mended.
            metadata_only: Whether no value is read.

        Raises:
            NotFound: If there is no such cache.
            Conflict: If another run verifies it (OPERATION_IN_PROGRESS).
        """
        cache = await self._caches.get(tenant, cache_id)
        return await self._tools.runs.begin(cache, creator, Run(cache.uid, repair, metadata_only), once)

    async def attempt(self, operation: Operation, cancelled: asyncio.Event) -> None:
        """Carries a run out, from where an earlier attempt left it, until it has ended.

        Raises:
            Unavailable: If a backend does not answer; then another attempt goes on.
            Conflict: If another process goes on with it (LEASE_LOST).
        """
        try:
            await Verification(self._tools, operation, cancelled).carry_out()
        except StoppedError:
            await self._tools.runs.end(operation, State.CANCELLED)
        except NotFound as gone:
            await self._tools.runs.end(operation, State.FAILED, error=gone)
