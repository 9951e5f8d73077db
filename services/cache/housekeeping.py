"""What goes on behind the calls: accesses are stored, and what is over or left behind is removed."""

from __future__ import annotations

import asyncio
import time
from functools import partial

import structlog
from sutler.errors import SutlerError

from services.cache.accesses import Accesses
from services.cache.backends import Backends
from services.cache.chunks import until_done
from services.cache.evicting import Evictor
from services.cache.ports import BlobBackend, Catalogue

log = structlog.get_logger("sutler.cache")

CHUNK = 500
DROPPED_SECONDS = 3600.0
"""How long a deleted cache is remembered: what a late put brought into it is removed until then."""


class Flusher:
    """Stores accesses, in every process.

    Args:
        accesses: What was read.
        backends: Where entries are.
        every: Seconds between two runs.
    """

    def __init__(self, accesses: Accesses, backends: Backends, every: float) -> None:
        self._accesses = accesses
        self._backends = backends
        self._every = every

    async def run(self) -> None:
        """Stores accesses until it is cancelled."""
        while True:
            await asyncio.sleep(self._every)
            await self.flush()

    async def flush(self) -> None:
        """Stores what was read since the last time; what cannot be stored now waits for the next time."""
        for name, accesses in self._accesses.take().items():
            backend = self._backends.all_metadata()[name]
            for start in range(0, len(accesses), CHUNK):
                try:
                    await backend.record(accesses[start : start + CHUNK])
                except SutlerError as error:
                    lost = self._accesses.put_back(name, accesses[start:])
                    log.warning("cache.accesses_not_stored", count=len(accesses) - start, lost=lost, error=str(error))
                    break


class Housekeeping:
    """Removes what is over, in one process of all.

    Args:
        catalogue: The caches.
        backends: Where their entries and blobs are.
        evictor: Looks after caches that are over a limit since before this process began.
        every: Seconds between two sweeps.
        orphans_every: Seconds between two searches for files that nobody refers to.
    """

    def __init__(
        self, catalogue: Catalogue, backends: Backends, evictor: Evictor, every: float, orphans_every: float
    ) -> None:
        self._catalogue = catalogue
        self._backends = backends
        self._evictor = evictor
        self._every = every
        self._orphans_every = orphans_every

    async def run(self) -> None:
        """Works until it is cancelled.

        Raises:
            SutlerError: If a backend does not answer; whoever runs this begins again.
        """
        await self._look_at_limits()
        next_search = 0.0
        while True:
            await self.sweep()
            if time.monotonic() >= next_search:
                await self.remove_orphans()
                next_search = time.monotonic() + self._orphans_every
            await asyncio.sleep(self._every)

    async def sweep(self) -> None:
        """Removes expired entries, those of deleted caches, and blobs that nobody refers to."""
        for backend in self._backends.all_metadata().values():
            await until_done(backend.expire)
        await self._drop()
        await self._collect()

    async def remove_orphans(self) -> None:
        """Removes files that no entry ever referred to: of puts that were killed, or refused, in the middle."""
        for name, blobs in self._backends.all_blobs().items():
            await blobs.tidy()
            count = 0
            async for locators in blobs.old():
                known: set[str] = set()
                for backend in self._backends.all_metadata().values():
                    known |= await backend.known(locators)
                for locator in set(locators) - known:
                    await blobs.delete(locator)
                    count += 1
            if count:
                log.info("cache.orphans_removed", backend=name, count=count)

    async def _look_at_limits(self) -> None:
        after = 0
        while caches := await self._catalogue.after(after, CHUNK):
            for cache in caches:
                self._evictor.notice(cache, await self._backends.metadata(cache).usage(cache))
            after = caches[-1].space

    async def _drop(self) -> None:
        for dropped in await self._catalogue.dropped(CHUNK):
            backend = self._backends.all_metadata()[dropped.metadata_backend]
            await until_done(partial(backend.drop, dropped.space))
            if time.time() - dropped.drop_time > DROPPED_SECONDS:
                await backend.forget(dropped.space)
                await self._catalogue.forget(dropped.space)

    async def _collect(self) -> None:
        for backend in self._backends.all_metadata().values():
            while garbage := await backend.garbage(CHUNK):
                for name, locator in garbage:
                    await self._blobs(name).delete(locator)
                await backend.collected([locator for _, locator in garbage])

    def _blobs(self, name: str) -> BlobBackend:
        return self._backends.all_blobs()[name]
