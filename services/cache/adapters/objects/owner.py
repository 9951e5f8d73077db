"""Whose a store of blobs is: only that installation knows which of them nobody refers to."""

from __future__ import annotations

import asyncio
import copy
from contextlib import suppress

import structlog
from sutler.backends import ByteStore
from sutler.errors import SutlerError, Unavailable

from services.cache.backend_faults import BackendForeignError, backend_unusable, blobs_foreign

log = structlog.get_logger("sutler.cache")

OWNER = "owner"
"""The name of the object that says it; no blob has a name like that."""

RETRY_SECONDS = 1.0
"""How long after a failed try, or a new mark, the next look at the mark is."""

LOOK_SECONDS = 10.0
"""How often the mark is looked at while nothing is wrong: much sooner than a blob is old enough to be an orphan."""

FIRST_SECONDS = 2.0
"""How long the start of the service waits for the first look."""


async def claim(store: ByteStore, mine: bytes) -> bool:
    """Makes a store that of an installation, unless it is already; returns whether it was.

    Of two that claim it at once each may find its own mark first; the one whose mark is replaced finds that out with
    its next look, before it or the other one removes anything.

    Raises:
        BackendForeignError: If it is that of another one.
    """
    found = await store.read(OWNER, 0, len(mine) + 1)
    known = found is not None
    if not known:
        async with store.writer(OWNER) as writer:
            await writer.write(mine)
            await writer.finish()
        found = await store.read(OWNER, 0, len(mine) + 1)
    if found != mine:
        raise BackendForeignError
    return known


class Owner:
    """Keeps the mark of an installation on a store, and knows whether the store may be used.

    Args:
        name: The operator's name for the store.
        store: The store.
        mark: What tells this installation from others.
    """

    def __init__(self, name: str, store: ByteStore, mark: bytes) -> None:
        self.name = name
        self._store = store
        self._mark = mark.hex().encode()
        self._failure: Unavailable | None = backend_unusable(name, "no answer yet")
        self._tried = asyncio.Event()

    def check(self) -> None:
        """Returns if the store is that of this installation.

        Raises:
            Unavailable: If it is not, or nobody knows yet.
        """
        if self._failure is not None:
            raise copy.copy(self._failure)

    async def confirm(self) -> None:
        """Looks at the mark, and returns if it was there and is that of this installation.

        Raises:
            Unavailable: If it is not, or the store does not answer.
        """
        await self.tried()
        if not await self._look():
            raise backend_unusable(self.name, "its mark is new")

    async def tried(self) -> None:
        """Waits for the first look, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._tried.wait()

    async def run(self) -> None:
        """Looks at the mark until it is cancelled."""
        while True:
            known = False
            with suppress(Unavailable):
                known = await self._look()
            self._tried.set()
            await asyncio.sleep(LOOK_SECONDS if known else RETRY_SECONDS)

    async def _look(self) -> bool:
        """Claims the store, and returns whether that was done before. Raises as :meth:`confirm`."""
        try:
            known = await claim(self._store, self._mark)
        except BackendForeignError:
            failure = blobs_foreign(self.name)
            self._refuse(failure, "it has the mark of another installation")
        except Exception as error:
            failure = backend_unusable(self.name, "no answer")
            if self._failure is not None:  # one that was open tells its outages itself
                self._refuse(failure, str(error), None if isinstance(error, SutlerError) else error)
        else:
            if self._failure is not None:
                self._failure = None
                log.info("cache.backend_opened", backend=self.name)
            return known
        raise failure

    def _refuse(self, failure: Unavailable, cause: str, trace: Exception | None = None) -> None:
        if str(failure) != str(self._failure):
            self._failure = failure
            log.warning("cache.backend_not_opened", backend=self.name, error=cause, exc_info=trace)
