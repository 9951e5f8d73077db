"""Composes ProviderService: read from top to bottom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

from google.longrunning import operations_pb2_grpc
from sutler.background import background
from sutler.neighbours import is_serving, neighbour
from sutler.operations import records
from sutler.operations.model import Operation
from sutler.operations.servicer import OperationBook
from sutler.paging import Pager
from sutler.provider.v1.provider_pb2_grpc import add_ProviderServiceServicer_to_server
from sutler.publishing import RulePublisher
from sutler.resource.v1.handler_pb2_grpc import add_ResourceHandlerServicer_to_server
from sutler.server import Runtime, Service
from sutler.store import Database, open_database
from sutler.store.holding import lead
from sutler.store.keys import token_sealer
from sutler.store.relay import OutboxRelay
from sutler.store.requests import StoredAnswers
from sutler.store.retention import Sweep, Sweeper
from sutler.watch import Watcher

from services.provider.adapters import make_kinds
from services.provider.adapters.stored import COMPONENT, MIGRATIONS, DatabaseStore, listings, sweeps
from services.provider.checkups import Checkups
from services.provider.driver import Driver, Pace
from services.provider.ending import cancel
from services.provider.limits import Limits
from services.provider.ports import Book, ProviderKind, Turn
from services.provider.reading import Outputs
from services.provider.reconcile.accepting import call_off
from services.provider.reconcile.findings import METHOD, OrphanPolicy
from services.provider.reconcile.keeper import Keeper, Rounds
from services.provider.servicer import MachineSetHandler, ProviderServicer
from services.provider.servicer.paging import Lister
from services.provider.servicer.parts import Parts
from services.provider.set_runner import SetRunner
from services.provider.settings import Settings
from services.provider.wire.shapes import ContractShapes

AREA = "provider"


@asynccontextmanager
async def app(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Composes the service."""
    migrations = {records.COMPONENT: records.MIGRATIONS, COMPONENT: MIGRATIONS}
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.data, name=AREA, migrations=migrations))
        kinds, plugins = await stack.enter_async_context(make_kinds(settings))
        shapes = ContractShapes()
        store = DatabaseStore(
            database,
            shapes,
            tell=bool(settings.rule_address),
            keep=timedelta(days=settings.keep_request_ids_days),
        )
        limits = Limits(settings.max_count, settings.max_machines, settings.max_tenant_machines)
        sealer = await token_sealer(database)
        pager = Pager(sealer)
        checkups = Checkups(store, kinds, settings.check_seconds)

        async def on_cancel(operation: Operation) -> None:
            await store.change(lambda book: _cancel(book, operation))

        parts = Parts(
            store=store,
            listings=listings(database, shapes),
            kinds=kinds,
            limits=limits,
            checkups=checkups,
            outputs=Outputs(store, kinds, runtime.shutdown),
            lister=Lister(pager),
            pager=pager,
            watcher=Watcher(sealer, runtime.shutdown),
            database=database,
            keep_usage_seconds=timedelta(days=settings.keep_usage_days).total_seconds(),
            stopped_seconds=timedelta(hours=settings.stopped_hours).total_seconds(),
        )
        servicer = ProviderServicer(parts, OperationBook(AREA, database, pager, runtime.shutdown, on_cancel))
        handler = MachineSetHandler(SetRunner(store, kinds, limits, runtime.shutdown))

        def driver(name: str, kind: ProviderKind) -> Driver:
            pace = Rounds(settings.reconcile_seconds, settings.orphan_grace_seconds, _policy(settings))
            keeper = Keeper(store, kind, pace)

            async def reconcile() -> None:
                await lead(
                    database,
                    f"provider/reconcile/{name}/{kind.place}",
                    lambda lease: keeper.run(Turn(lease.name, lease.fence)),
                    ttl=timedelta(seconds=settings.lease_seconds),
                )

            return Driver(store, kinds, kind, _pace(settings), beside=[reconcile])

        drivers = {name: driver(name, kind) for name, kind in kinds.items()}
        works = {
            "retention": _sweeper(settings, database).run(),
            "checks": checkups.run(),
            **{
                f"driver of {name}": _driven(settings, database, name, drive) if name in plugins else drive.run()
                for name, drive in drivers.items()
            },
            **{f"type {name}": plugin.keep_described() for name, plugin in plugins.items()},
        }
        neighbours = {}
        if settings.rule_address:
            rules = await stack.enter_async_context(neighbour(settings, AREA, settings.rule_address))
            ttl = timedelta(seconds=settings.lease_seconds)
            works["events"] = OutboxRelay(database, RulePublisher(rules).publish, ttl=ttl).run()
            neighbours["rule"] = is_serving(rules, "rule")
        going = await stack.enter_async_context(background(works))
        yield Service(
            area=AREA,
            servicers={
                "sutler.provider.v1.ProviderService": (add_ProviderServiceServicer_to_server, servicer),
                "sutler.resource.v1.ResourceHandler": (add_ResourceHandlerServicer_to_server, handler),
                "google.longrunning.Operations": (operations_pb2_grpc.add_OperationsServicer_to_server, servicer),
            },
            needed={"store": database.health, "work": going.check},
            neighbours=neighbours,
            answers=StoredAnswers(database),
        )


async def _driven(settings: Settings, database: Database, name: str, driver: Driver) -> None:
    """Drives the machines of a plug-in in one process of all: any of them could, for the plug-in is elsewhere."""
    ttl = timedelta(seconds=settings.lease_seconds)
    await lead(database, f"provider/drive/{name}", lambda _: driver.run(), ttl=ttl)


def _pace(settings: Settings) -> Pace:
    return Pace(at_once=settings.launches, sweep=settings.sweep_seconds, keep=timedelta(days=settings.keep_days))


def _sweeper(settings: Settings, database: Database) -> Sweeper:
    keep = timedelta(days=settings.keep_days)
    own = sweeps(keep, timedelta(hours=settings.keep_changes_hours), timedelta(days=settings.keep_usage_days))
    ttl = timedelta(seconds=settings.lease_seconds)
    return Sweeper(database, [*own, Sweep("operations", "end_time", keep)], ttl=ttl)


def _policy(settings: Settings) -> OrphanPolicy:
    return OrphanPolicy[settings.orphan_policy.upper()]


def _cancel(book: Book, operation: Operation) -> None:
    if operation.method == METHOD:
        call_off(book, operation)
    request = book.requests.get(operation.tenant, operation.target)
    if request is not None and request.operation == operation.name:
        cancel(book, request, "its operation was cancelled")
