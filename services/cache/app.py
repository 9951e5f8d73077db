"""The composition root of CacheService."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from sutler.background import background
from sutler.cache.v1.cache_pb2_grpc import add_CacheServiceServicer_to_server
from sutler.paging import Pager
from sutler.server import Runtime, Service
from sutler.store import open_database
from sutler.store.holding import lead
from sutler.store.keys import token_sealer
from sutler.store.requests import StoredAnswers
from sutler.store.retention import Sweeper

from services.cache.accesses import Accesses
from services.cache.adapters import FILES, LOCAL, TYPES
from services.cache.adapters.answers import RememberedAnswers
from services.cache.adapters.database import MIGRATIONS, DatabaseEntries, StoredCatalogue
from services.cache.adapters.filesystem import open_blobs
from services.cache.backends import Backends, Configured
from services.cache.changing import Changes
from services.cache.evicting import Evictor
from services.cache.housekeeping import Flusher, Housekeeping
from services.cache.invalidating import Invalidations
from services.cache.managing import Caches
from services.cache.reach import Reach
from services.cache.reading import Reads
from services.cache.servicer import CacheServicer, Work
from services.cache.settings import Settings
from services.cache.streaming import Streams

AREA = "cache"


@asynccontextmanager
async def app(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Composes the service."""
    keep = timedelta(days=settings.request_retention_days)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.data, name=AREA, migrations=MIGRATIONS))
        files = await stack.enter_async_context(open_blobs(settings.blob_folder, settings.blob_threads))
        catalogue = StoredCatalogue(database, keep)
        backends = Backends(
            TYPES,
            metadata=[
                Configured(LOCAL, database.dialect, DatabaseEntries(database, keep, settings.blob_grace_seconds))
            ],
            blobs=[Configured(FILES, "filesystem", files)],
        )
        accesses = Accesses()
        flusher = Flusher(accesses, backends, settings.access_flush_seconds)
        stack.push_async_callback(flusher.flush)
        evictor = Evictor(catalogue, backends, flusher.flush)
        keeper = Housekeeping(catalogue, backends, evictor, settings.sweep_seconds, settings.orphan_sweep_seconds)
        reach = Reach(catalogue, backends)
        changes = Changes(reach, backends, evictor)
        work = Work(
            caches=Caches(catalogue, backends, evictor),
            reads=Reads(reach, backends, accesses),
            changes=changes,
            invalidations=Invalidations(reach),
            streams=Streams(reach, backends, changes),
            backends=backends,
            pager=Pager(await token_sealer(database)),
        )
        running = await stack.enter_async_context(
            background(
                {
                    "accesses": flusher.run(),
                    "eviction": evictor.run(),
                    "housekeeping": lead(database, "housekeeping", lambda _: keeper.run()),
                    "retention": Sweeper(database, []).run(),
                }
            )
        )
        yield Service(
            area=AREA,
            servicers={
                "sutler.cache.v1.CacheService": (add_CacheServiceServicer_to_server, CacheServicer(work)),
            },
            needed={"store": database.health, "blobs": files.health, "work": running.check},
            answers=RememberedAnswers(StoredAnswers(database)),
        )
