"""Opens a place of metadata that is not beside the catalogue, and tries again until that succeeds."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import structlog
from sutler.errors import DataLoss, FailedPrecondition, SutlerError

from services.cache.adapters.answers import Finder
from services.cache.backend_faults import BackendForeignError, backend_foreign, backend_unusable
from services.cache.caches import Cache
from services.cache.ports import MetadataBackend

log = structlog.get_logger("sutler.cache")

RETRY_SECONDS = 1.0
"""How long after a failed try the next one begins."""

FIRST_SECONDS = 2.0
"""How long calls, and the start of the service, wait for the first try; later ones wait for none."""

_CAUSES: dict[type[Exception], str] = {FailedPrecondition: "refused, or set up wrongly", DataLoss: "damaged"}


@dataclass(frozen=True, slots=True)
class Opened:
    """A place of metadata that is open.

    Attributes:
        backend: The entries in it.
        answers: Where the first answers to requests are that it remembers.
        durable: Tells whether it keeps everything over a restart, where its type does not say.
        copy: For a backend that checks caches itself: has it know a cache as it is now.
        forget: Likewise: has it forget the cache of a number.
        work: What goes on for it behind the calls, if anything does.
    """

    backend: MetadataBackend
    answers: Finder
    durable: Callable[[], Awaitable[bool]] | None = None
    copy: Callable[[Cache], Awaitable[None]] | None = None
    forget: Callable[[int], Awaitable[None]] | None = None
    work: Callable[[], Coroutine[Any, Any, None]] | None = None


class Opening:
    """One place, open or not: the service starts without it, and whoever needs it is told why it cannot be used.

    Args:
        name: The operator's name for it.
        make: Opens it once; the stack closes what was opened.
    """

    def __init__(self, name: str, make: Callable[[AsyncExitStack], Awaitable[Opened]]) -> None:
        self._name = name
        self._make = make
        self._stack = AsyncExitStack()
        self._opened: Opened | None = None
        self._failure = backend_unusable(name, "no answer yet")
        self._tried = asyncio.Event()

    @property
    def now(self) -> Opened:
        """The place.

        Raises:
            Unavailable: If it is not open.
        """
        if self._opened is None:
            raise copy.copy(self._failure)
        return self._opened

    async def get(self) -> Opened:
        """Returns the place, after the first try to open it. Raises as :attr:`now`."""
        if self._opened is None:
            await self.tried()
        return self.now

    async def tried(self) -> None:
        """Waits for the first try, but not for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await self._tried.wait()

    async def find(self, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
        """Returns the hash of a request and its first answer, or None. See :class:`services.cache.adapters.answers`."""
        return await (await self.get()).answers.find(tenant, method, request_id)

    async def durable(self) -> bool:
        """Returns whether the place keeps everything over a restart, where its type does not say."""
        durable = self.now.durable
        return durable is not None and await durable()

    async def run(self) -> None:
        """Opens the place, however often that has to be tried, and does its work until it is cancelled."""
        while self._opened is None:
            if not await self._try():
                await asyncio.sleep(RETRY_SECONDS)
        if self.now.work is not None:
            await self.now.work()
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Closes the place; :meth:`run` must have ended."""
        await self._stack.aclose()

    async def _try(self) -> bool:
        try:
            async with AsyncExitStack() as stack:
                opened = await self._make(stack)
                self._stack = stack.pop_all()
                self._opened = opened
        except Exception as error:
            self._refuse(error)
        else:
            log.info("cache.backend_opened", backend=self._name)
        self._tried.set()
        return self._opened is not None

    def _refuse(self, error: Exception) -> None:
        before = str(self._failure)
        if isinstance(error, BackendForeignError):
            self._failure = backend_foreign(self._name)
        else:
            self._failure = backend_unusable(self._name, _CAUSES.get(type(error), "no answer"))
        if str(self._failure) != before:
            trace = None if isinstance(error, SutlerError | BackendForeignError) else error
            log.warning("cache.backend_not_opened", backend=self._name, error=str(error), exc_info=trace)
