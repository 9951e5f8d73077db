"""Puts ResourceService together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from sutler.background import background
from sutler.neighbours import is_serving, neighbour
from sutler.operations import OperationRunner, records
from sutler.operations.servicer import OperationBook, shared
from sutler.paging import Pager
from sutler.publishing import RulePublisher
from sutler.resource.v1 import resource_pb2_grpc
from sutler.server import Runtime, Service
from sutler.store import Database, open_database
from sutler.store.keys import token_sealer
from sutler.store.relay import OutboxRelay
from sutler.store.requests import StoredAnswers
from sutler.store.retention import Sweep, Sweeper
from sutler.watch import Watcher

from services.resource.adapters.calendar import StoredCalendar, expire
from services.resource.adapters.calling import CalledHandlers
from services.resource.adapters.following import Follower
from services.resource.adapters.keeping import Keeper
from services.resource.adapters.late_box import LateBox
from services.resource.adapters.plugins import installed
from services.resource.adapters.reading import Reader
from services.resource.adapters.remote import RemoteHandlers
from services.resource.adapters.stack_reading import StackReader
from services.resource.adapters.store import DatabaseStore, seed
from services.resource.adapters.tables import MIGRATIONS
from services.resource.compatibility import Compatibility
from services.resource.compiling import Compiler
from services.resource.conducting import Conductor
from services.resource.declaring import Declarations
from services.resource.ending import Endings
from services.resource.expiring import Expiry
from services.resource.invoking import Invocations
from services.resource.judging import PolicyBook
from services.resource.names import key
from services.resource.policies import TYPE as POLICIES
from services.resource.quotas import TYPE as QUOTAS
from services.resource.registering import Registrations
from services.resource.removing import Removals
from services.resource.servicer import ResourceServicer
from services.resource.servicer.inside import Inside
from services.resource.settings import Settings
from services.resource.stacks.applying import Stacks

AREA = "resource"
LATE = tuple(f"/sutler.resource.v1.ResourceService/{name}Resource" for name in ("Create", "Update"))
"""The methods that have no effect before the change that remembers the answer."""


@asynccontextmanager
async def app(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Composes the service."""
    tables = {AREA: MIGRATIONS, records.COMPONENT: records.MIGRATIONS}
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.data, name=AREA, migrations=tables))
        await seed(database)
        box = LateBox(settings.secret_keys, settings.data)
        store = DatabaseStore(database, box, remembered=timedelta(days=settings.request_retention_days))
        connections = await stack.enter_async_context(AsyncExitStack())
        remotes = RemoteHandlers(partial(neighbour, settings, AREA), settings.handler_addresses, connections)
        plugins = await stack.enter_async_context(installed(settings.plugins))
        handlers = CalledHandlers(remotes, plugins)
        compiler, policies = Compiler(), PolicyBook()
        limits = {key(POLICIES): settings.policies_per_scope, key(QUOTAS): settings.quotas_per_scope}
        declarations = Declarations(store, compiler, policies, handlers, wait=settings.wait_seconds, limits=limits)
        removals = Removals(store, policies, wait=settings.wait_seconds)
        sealer = await token_sealer(database)
        pager = Pager(sealer)
        servicer = ResourceServicer(
            registrations=Registrations(store, handlers, box, Compatibility(store)),
            declarations=declarations,
            removals=removals,
            invocations=Invocations(store, compiler, policies, handlers, box, wait=settings.wait_seconds),
            stacks=Stacks(store, declarations, wait=settings.wait_seconds),
            endings=Endings(store),
            reader=Reader(database),
            stack_reader=StackReader(database),
            follower=Follower(database, Watcher(sealer, runtime.shutdown)),
            book=OperationBook(AREA, database, pager, runtime.shutdown),
            pager=pager,
        )
        answers = StoredAnswers(database, late=LATE)
        plugins.connect(Inside(servicer, answers, runtime.telemetry).stub)
        conductor = Conductor(store, handlers, compiler, policies, box, limits=limits)
        runner = OperationRunner(
            database,
            lambda execution: conductor.attempt(execution.operation, execution.cancelled),
            area=AREA,
            concurrency=settings.concurrency,
            lease_seconds=settings.lease_seconds,
        )
        works = {
            "operations": runner.run(),
            "expiry": expire(database, Expiry(StoredCalendar(database), removals), settings.expiry_seconds),
            "compaction": _keeper(settings, database).run(),
            "retention": _sweeper(settings, database).run(),
        }
        neighbours = {}
        if settings.rule_address:
            rules = await stack.enter_async_context(neighbour(settings, AREA, settings.rule_address))
            works["events"] = OutboxRelay(database, RulePublisher(rules).publish).run()
            neighbours["rule"] = is_serving(rules, "rule")
        running = await stack.enter_async_context(background(works))
        yield Service(
            area=AREA,
            servicers={
                "sutler.resource.v1.ResourceService": (
                    resource_pb2_grpc.add_ResourceServiceServicer_to_server,
                    servicer,
                ),
                **shared(servicer),
            },
            needed={"store": database.health, "work": running.check},
            neighbours=neighbours,
            answers=answers,
        )


def _keeper(settings: Settings, database: Database) -> Keeper:
    events = None if settings.rule_address else timedelta(days=settings.event_retention_days)
    return Keeper(
        database,
        revisions=timedelta(days=settings.revision_retention_days),
        events=events,
        every=timedelta(seconds=settings.sweep_seconds),
    )


def _sweeper(settings: Settings, database: Database) -> Sweeper:
    operations = Sweep("operations", "end_time", timedelta(days=settings.operation_retention_days))
    return Sweeper(database, [operations], every=timedelta(seconds=settings.sweep_seconds))
