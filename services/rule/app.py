"""The composition root of RuleService."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

from sutler.background import background
from sutler.errors import SutlerError
from sutler.neighbours import is_serving
from sutler.operations import OperationRunner, records
from sutler.operations.servicer import OperationBook, shared
from sutler.paging import Pager
from sutler.rule.v1.rule_pb2_grpc import add_RuleServiceServicer_to_server
from sutler.server import Runtime, Service
from sutler.store import Database, open_database
from sutler.store.keys import token_sealer
from sutler.store.requests import StoredAnswers
from sutler.store.retention import Sweep, Sweeper
from sutler.watch import Watcher

from services.rule.adapters.calls import GrpcCaller, connections
from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.indexes import Indexes
from services.rule.adapters.database.interventions import DatabaseInterventions
from services.rule.adapters.database.log import DatabaseLog
from services.rule.adapters.database.migrations import COMPONENT, MIGRATIONS
from services.rule.adapters.database.purges import DatabasePurges
from services.rule.adapters.database.reading import Reading
from services.rule.adapters.database.replays import DatabaseReplays
from services.rule.adapters.database.retention import BREAKERS, Retention
from services.rule.adapters.database.rules import DatabaseRules
from services.rule.adapters.database.scene import DatabaseScene
from services.rule.adapters.database.schedules import DatabaseSchedules
from services.rule.adapters.database.subject_store import DatabaseSubjects
from services.rule.adapters.database.task_store import DatabaseTasks
from services.rule.adapters.database.tenure import tenure
from services.rule.adapters.database.work import DatabaseWork
from services.rule.adapters.http import http_caller
from services.rule.adapters.methods import Methods
from services.rule.adapters.nats.accepting import CarriedLog
from services.rule.adapters.nats.link import Link
from services.rule.adapters.nats.stream import Place
from services.rule.adapters.nats.works import HAND_OUT_SECONDS, handing_works, source_works
from services.rule.adapters.outside import EveryProtocol
from services.rule.adapters.schemas import Schemas
from services.rule.arrivals import Arrivals
from services.rule.attempts import Attempts
from services.rule.authoring import Rules
from services.rule.backlog import Backlog
from services.rule.endings import Endings
from services.rule.engine import Engine
from services.rule.measures import Measures
from services.rule.publishing import Publishing
from services.rule.purging import purge
from services.rule.replaying import replay
from services.rule.schedule_authoring import Schedules
from services.rule.scheduler import Scheduler
from services.rule.servicer import Parts, RuleServicer
from services.rule.settings import Settings
from services.rule.simulating import Simulator
from services.rule.sourcing import Sourcing
from services.rule.subject_updates import Subjects
from services.rule.tasking import Tasks
from services.rule.working import Worker

AREA = "rule"
BACKLOG_SECONDS = 1.0
CANCELLABLE = frozenset(("/sutler.rule.v1.RuleService/PullTasks",))
"""What mostly waits. A repeat gets the same tasks, so no record is kept."""


@asynccontextmanager
async def app(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Composes the service."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_store(settings))
        neighbours = await stack.enter_async_context(connections(settings, settings.targets.values()))
        http = await stack.enter_async_context(
            http_caller(settings.allowed_urls, settings.allowed_networks, settings.signing_keys)
        )

        methods = Methods(settings.targets, Schemas(settings.targets, neighbours))
        outside = EveryProtocol(methods, GrpcCaller(methods, neighbours), http)
        link, place = nats_of(settings)
        handing = link if settings.engine == "nats" else None
        acceptor = Acceptor(Indexes(), settings.max_depth, HAND_OUT_SECONDS if handing else 0.0)
        work = DatabaseWork(database, acceptor)
        events = DatabaseLog(database, acceptor)
        rule_store = DatabaseRules(database)
        subject_store = DatabaseSubjects(database, acceptor)
        schedule_store = DatabaseSchedules(database, acceptor)

        measures = Measures(runtime.telemetry.meter, runtime.telemetry.tracer)
        endings, backlog = Endings(), Backlog(settings.max_waiting)
        engine = Engine(
            work,
            Worker(work, Attempts(work, outside, database.now), measures, database.now),
            lambda: tenure(database, settings.lease_seconds),
            database.changes,
            endings,
            concurrency=settings.concurrency,
            lease_seconds=settings.lease_seconds,
            clock=database.now,
        )
        scheduler = Scheduler(schedule_store, engine, backlog, measures)
        task_store = DatabaseTasks(database, acceptor, work, settings.max_leased)
        arrivals = Arrivals(task_store.ready, database.changes)
        sealer = await token_sealer(database)
        pager = Pager(sealer)
        scene = DatabaseScene(database)
        purges, replays = DatabasePurges(database), DatabaseReplays(database)
        event_log = CarriedLog(events, handing) if handing else events
        stopping = runtime.shutdown.is_set
        publishing = Publishing(event_log, engine, backlog, endings, measures, stopping, database.now)
        parts = Parts(
            rules=Rules(rule_store, outside),
            rule_store=rule_store,
            publishing=publishing,
            subjects=Subjects(subject_store, engine, backlog),
            subject_store=subject_store,
            schedules=Schedules(schedule_store, database.now, scheduler.nudge),
            schedule_store=schedule_store,
            interventions=DatabaseInterventions(database),
            tasks=Tasks(task_store, engine, arrivals, runtime.shutdown),
            reading=Reading(database),
            purges=purges,
            replays=replays,
            scene=scene,
            simulator=Simulator(scene, outside, settings.max_depth, database.now),
            pager=pager,
            watcher=Watcher(sealer, runtime.shutdown),
            database=database,
            shutdown=runtime.shutdown,
        )

        kinds = {
            "PurgeDeadLetters": lambda run: purge(run, purges),
            "ReplayDeadLetters": lambda run: replay(run, replays, backlog),
            "ReplayEvents": lambda run: replay(run, replays, backlog),
        }
        runner = OperationRunner(database, lambda run: kinds[run.operation.method](run), area=AREA)
        servicer = RuleServicer(parts, OperationBook(AREA, database, pager, runtime.shutdown))
        operations = Sweep("operations", "end_time", timedelta(days=settings.keep_operations_days))
        retention = Retention(database, subject_store, settings.ages, timedelta(seconds=settings.sweep_seconds))
        sweeper = Sweeper(database, [BREAKERS, operations], every=timedelta(seconds=settings.sweep_seconds))
        works = {
            "engine": engine.run(),
            "scheduler": scheduler.run(),
            "arrivals": arrivals.run(),
            "operations": runner.run(),
            "backlog": count(events, backlog),
            "retention": retention.run(),
            "sweeper": sweeper.run(),
        }
        lease_seconds = settings.lease_seconds
        if link:
            works |= source_works(database, link, place, settings.nats_sources, Sourcing(publishing), lease_seconds)
        if handing:
            works |= handing_works(database, handing, place, work, engine, lease_seconds)
        going = await stack.enter_async_context(background(works))
        yield Service(
            area=AREA,
            servicers={
                "sutler.rule.v1.RuleService": (add_RuleServiceServicer_to_server, servicer),
                **shared(servicer),
            },
            needed={"store": database.health, "work": going.check},
            neighbours={
                **{
                    service: is_serving(neighbours[target.place], service)
                    for service, target in settings.targets.items()
                },
                **({"nats": link.check} if link else {}),
            },
            answers=StoredAnswers(database, cancellable=CANCELLABLE),
        )


@asynccontextmanager
async def open_store(settings: Settings) -> AsyncIterator[Database]:
    """Opens the database; the folder of the default one is made."""
    if settings.data == Settings.model_fields["data"].default:
        await asyncio.to_thread(Path(".sutler").mkdir, exist_ok=True)
    migrations = {COMPONENT: MIGRATIONS, records.COMPONENT: records.MIGRATIONS}
    async with open_database(settings.data, name=AREA, migrations=migrations) as database:
        yield database


def nats_of(settings: Settings) -> tuple[Link | None, Place]:
    """Returns the connection to NATS, if it is configured, and where events are there."""
    url = settings.nats_url.get_secret_value()
    place = Place(settings.nats_stream, settings.nats_prefix, timedelta(days=settings.keep_events_days))
    return Link(url, settings.nats_credentials, settings.nats_ca) if url else None, place


async def count(events: DatabaseLog, backlog: Backlog) -> None:
    """Counts what waits, again and again, until cancelled."""
    while True:
        with suppress(SutlerError):  # told by the health of the store
            backlog.recount(await events.backlog())
        await asyncio.sleep(BACKLOG_SECONDS)
