"""What goes on behind the calls: accesses are stored, and what is over or left behind is removed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import structlog
from sutler.errors import SutlerError

from services.cache.accesses import Access, Accesses
from services.cache.backends import Backends
from services.cache.chunks import until_done
from services.cache.counting import Count, Counts
from services.cache.evicting import Evictor
from services.cache.orphans import Orphans
from services.cache.ports import BlobBackend, Catalogue, MetadataBackend

log = structlog.get_logger("sutler.cache")

CHUNK = 500
ACCESSES = 50
"""How many accesses are stored at once. A put that comes meanwhile waits: in a large cache 50 take a millisecond."""
DROPPED_SECONDS = 3600.0
"""How long a deleted cache is remembered: what a late put brought into it is removed until then."""


@contextmanager
def told(what: str) -> Iterator[None]:
    """Tells in the log what could not be done, and leaves it to the next time: a backend that does not answer holds up
    no other."""
    try:
        yield
    except SutlerError as error:
        log.warning("cache.work_postponed", what=what, error=str(error))


UNHURRIED = 10
"""Accesses that renew no life are stored in every tenth run: those of an entry that is often read are one change then,
and those of an entry that is replaced meanwhile are none."""
FULL = 20_000
"""So many are stored at once all the same."""


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
        for turn in itertools.count(1):
            await asyncio.sleep(self._every)
            if turn % UNHURRIED == 0 or len(self._accesses) >= FULL:
                await self.flush()
            else:
                await self._store(self._accesses.take_renewing())

    async def flush(self) -> None:
        """Stores all that was read since the last time; what cannot be stored now waits for the next time."""
        await self._store(self._accesses.take())

    async def _store(self, taken: Mapping[str, Sequence[Access]]) -> None:
        for name, accesses in taken.items():
            backend = self._backends.all_metadata()[name]
            for start in range(0, len(accesses), ACCESSES):
                try:
                    await backend.record(accesses[start : start + ACCESSES])
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
        counts: Counts what is removed because it has expired.
        orphans: Finds blobs that nobody refers to.
        every: Seconds between two sweeps.
        orphans_every: Seconds between two searches for files that nobody refers to.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        backends: Backends,
        evictor: Evictor,
        counts: Counts,
        orphans: Orphans,
        every: float,
        orphans_every: float,
    ) -> None:
        self._catalogue = catalogue
        self._backends = backends
        self._evictor = evictor
        self._counts = counts
        self._orphans = orphans
        self._every = every
        self._orphans_every = orphans_every

    async def run(self) -> None:
        """Works until it is cancelled.

        Raises:
            SutlerError: If the catalogue does not answer; whoever runs this begins again.
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
        for name, backend in self._backends.all_metadata().items():
            with told(name):
                await until_done(partial(self._expire, backend))
        await self._drop()
        await self._collect()

    async def remove_orphans(self) -> None:
        """Removes files that no entry ever referred to: of puts that were killed, or refused, in the middle."""
        for name, blobs in self._backends.all_blobs().items():
            with told(f"orphans, {name}"):
                await self._remove_orphans(name, blobs)

    async def _remove_orphans(self, name: str, blobs: BlobBackend) -> None:
        await blobs.tidy()
        count = 0
        async for locators in self._orphans.among(blobs):
            for locator in locators:
                await blobs.delete(locator)
                count += 1
        if count:
            log.info("cache.orphans_removed", backend=name, count=count)

    async def _look_at_limits(self) -> None:
        after = 0
        while caches := await self._catalogue.after(after, CHUNK):
            for cache in caches:
                with told(cache.rules.metadata_backend):
                    self._evictor.notice(cache, await self._backends.metadata(cache).usage(cache))
            after = caches[-1].space

    async def _drop(self) -> None:
        for dropped in await self._catalogue.dropped(CHUNK):
            backend = self._backends.all_metadata().get(dropped.metadata_backend)
            if backend is None:  # the operator took it away; what is there goes when it is back
                continue
            with told(dropped.metadata_backend):
                await until_done(partial(backend.drop, dropped.space))
                if time.time() - dropped.drop_time > DROPPED_SECONDS:
                    await backend.forget(dropped.space)
                    await self._catalogue.forget(dropped.space)

    async def _collect(self) -> None:
        for metadata, backend in self._backends.all_metadata().items():
            for name, blobs in self._backends.all_blobs().items():
                with told(f"{metadata}, {name}"):
                    while garbage := await backend.garbage(name, CHUNK):
                        for locator in garbage:
                            await blobs.delete(locator)
                        await backend.collected(garbage)

    async def _expire(self, backend: MetadataBackend) -> bool:
        swept = await backend.expire()
        self._counts.swept(Count.EXPIRATION, swept.counts)
        self._counts.swept(Count.LEASE_LOST, swept.lost_leases)
        return swept.more
