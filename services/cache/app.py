"""The composition root of CacheService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from sutler.background import background
from sutler.cache.v1.cache_pb2_grpc import add_CacheServiceServicer_to_server
from sutler.health import Check
from sutler.neighbours import is_serving, neighbour
from sutler.operations import OperationRunner, records
from sutler.operations.servicer import OperationBook, shared
from sutler.paging import Pager
from sutler.publishing import RulePublisher
from sutler.secret_box import decoded_keys
from sutler.server import Runtime, Service
from sutler.store import open_database
from sutler.store.holding import lead
from sutler.store.keys import token_sealer
from sutler.store.relay import OutboxRelay
from sutler.store.requests import StoredAnswers
from sutler.store.retention import Sweep, Sweeper
from sutler.watch import Watcher

from services.cache.accesses import Accesses
from services.cache.adapters import FILES, LOCAL, own_type, registry
from services.cache.adapters.answers import RememberedAnswers
from services.cache.adapters.configuring import MetadataOpener, open_blobs
from services.cache.adapters.database import (
    MIGRATIONS,
    DatabaseEntries,
    StoredCatalogue,
    StoredOutbox,
    StoredTallies,
    StoredVerifications,
)
from services.cache.adapters.database.elsewhere import installation
from services.cache.adapters.database.marks import blob_mark
from services.cache.adapters.filesystem import FilesystemBytes, FilesystemOptions
from services.cache.adapters.objects import ObjectBlobs, Owner
from services.cache.backends import Backends, Configured
from services.cache.changing import Changes
from services.cache.counting import Counts
from services.cache.data_types import DataTypes
from services.cache.evicting import Evictor
from services.cache.gauges import Gauges
from services.cache.giving import Giving
from services.cache.housekeeping import Flusher, Housekeeping
from services.cache.invalidating import Invalidations
from services.cache.lines import Lines
from services.cache.managing import Caches
from services.cache.measures import Measures
from services.cache.orphans import Orphans
from services.cache.ports import BlobBackend
from services.cache.publishing import Publishing
from services.cache.reach import Reach
from services.cache.reading import Reads
from services.cache.recent import Recent
from services.cache.reporting import Reporter
from services.cache.servicer import CacheServicer, Work
from services.cache.settings import Settings
from services.cache.signing import Signer
from services.cache.statistics import Statistics
from services.cache.streaming import Streams
from services.cache.verification import Tools
from services.cache.verifying import Verifier
from services.cache.waiting import Leases
from services.cache.watching import Watches

AREA = "cache"
VERIFICATIONS = 4
"""How many caches each process verifies at once."""


@asynccontextmanager
async def app(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Composes the service."""
    keep = timedelta(days=settings.request_retention_days)
    async with AsyncExitStack() as stack:
        tables = {**MIGRATIONS, records.COMPONENT: records.MIGRATIONS}
        database = await stack.enter_async_context(open_database(settings.data, name=AREA, migrations=tables))
        options = FilesystemOptions(folder=settings.blob_folder, threads=settings.blob_threads)
        files = await asyncio.to_thread(FilesystemBytes, options)
        stack.push_async_callback(files.close)
        catalogue = StoredCatalogue(database, keep)
        types, grace = registry(), settings.blob_grace_seconds
        opener = MetadataOpener(types, catalogue, await installation(database), keep, grace)
        others = [opener.configured(name, described) for name, described in settings.metadata_backends.items()]
        for _, opening in others:
            stack.push_async_callback(opening.close)
        owner = Owner(FILES, files, await blob_mark(database, settings.blob_folder))
        places: list[tuple[Configured[BlobBackend], Owner | None]] = [
            (Configured(FILES, own_type(types, "filesystem"), ObjectBlobs(files, owner)), owner),
            *open_blobs(stack, types, settings.blob_backends, await blob_mark(database)),
        ]
        owned = [(configured, owner) for configured, owner in places if owner is not None]
        backends = Backends(
            types.all_types(),
            metadata=[
                Configured(LOCAL, own_type(types, database.dialect), DatabaseEntries(database, keep, grace)),
                *(configured for configured, _ in others),
            ],
            blobs=[configured for configured, _ in places],
            default_metadata=settings.default_metadata_backend,
            default_blobs=settings.default_blob_backend,
        )
        signer = Signer(decoded_keys(settings.signing_keys))
        counts, gauges = Counts(), Gauges()
        tallies = StoredTallies(database)
        reporter = Reporter(counts, gauges, tallies, Measures(runtime.telemetry.meter))
        stack.push_async_callback(reporter.run_once)
        accesses = Accesses()
        flusher = Flusher(accesses, backends, settings.access_flush_seconds)
        stack.push_async_callback(flusher.flush)
        evictor = Evictor(catalogue, backends, flusher.flush, counts)
        orphans = Orphans(catalogue, backends)
        keeper = Housekeeping(
            catalogue, backends, evictor, counts, orphans, settings.sweep_seconds, settings.orphan_sweep_seconds
        )
        reach = Reach(catalogue, backends)
        publishing = Publishing(StoredOutbox(database) if settings.rule_address else None)
        recent = Recent(settings.recent_bytes)
        changes = Changes(reach, backends, evictor, signer, counts, publishing, recent)
        caches = Caches(catalogue, backends, evictor, signer, publishing)
        verifier = Verifier(
            caches, Tools(reach, backends, orphans, StoredVerifications(database, keep), signer, counts)
        )
        giving = Giving(backends, accesses, signer, counts)
        reads = Reads(reach, backends, giving, signer, counts, recent)
        lines = Lines(giving, runtime.shutdown, counts)
        stack.push_async_callback(lines.close)
        sealer = await token_sealer(database)
        pager = Pager(sealer)
        work = Work(
            caches=caches,
            reads=reads,
            changes=changes,
            invalidations=Invalidations(reach, counts, publishing),
            streams=Streams(reach, backends, changes, counts),
            leases=Leases(reach, giving, lines, counts, gauges),
            watches=Watches(reach, Watcher(sealer, runtime.shutdown), gauges),
            statistics=Statistics(caches, reach, tallies, reporter),
            verifier=verifier,
            data_types=DataTypes(catalogue, backends),
            backends=backends,
            pager=pager,
        )
        servicer = CacheServicer(work, OperationBook(AREA, database, pager, runtime.shutdown))
        runner = OperationRunner(
            database,
            lambda execution: verifier.attempt(execution.operation, execution.cancelled),
            area=AREA,
            concurrency=VERIFICATIONS,
        )
        operations = Sweep("operations", "end_time", timedelta(days=settings.operation_retention_days))
        works = {
            "accesses": flusher.run(),
            "counts": reporter.run(),
            "eviction": evictor.run(),
            "housekeeping": lead(database, "housekeeping", lambda _: keeper.run()),
            "operations": runner.run(),
            "retention": Sweeper(database, [operations]).run(),
            **{f"backend {configured.id}": opening.run() for configured, opening in others},
            **{f"blob backend {configured.id}": owner.run() for configured, owner in owned},
        }
        neighbours: dict[str, Check] = {
            **{f"backend.{configured.id}": configured.backend.health for configured, _ in others},
            **{f"blob_backend.{configured.id}": configured.backend.health for configured, _ in owned},
        }
        if settings.rule_address:
            rules = await stack.enter_async_context(neighbour(settings, AREA, settings.rule_address))
            works["events"] = OutboxRelay(database, RulePublisher(rules).publish).run()
            neighbours["rule"] = is_serving(rules, "rule")
        running = await stack.enter_async_context(background(works))
        await asyncio.gather(*(opening.tried() for _, opening in others), *(owner.tried() for _, owner in owned))
        yield Service(
            area=AREA,
            servicers={
                "sutler.cache.v1.CacheService": (add_CacheServiceServicer_to_server, servicer),
                **shared(servicer),
            },
            needed={"store": database.health, "blobs": files.health, "work": running.check},
            neighbours=neighbours,
            answers=RememberedAnswers(StoredAnswers(database), [opening for _, opening in others]),
        )
