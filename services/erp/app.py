"""Puts ErpGateway together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

from sutler.background import background
from sutler.client import connect
from sutler.erp.v1.erp_pb2_grpc import add_ErpGatewayServicer_to_server
from sutler.health import Check
from sutler.ids import new_id
from sutler.neighbours import is_serving, neighbour, service_token
from sutler.paging import Pager
from sutler.publishing import RulePublisher
from sutler.secret_box import data_folder, make_box
from sutler.server import Runtime, Service
from sutler.store import Database, open_database
from sutler.store.holding import Lease, lead
from sutler.store.keys import token_sealer
from sutler.store.relay import OutboxRelay
from sutler.store.requests import StoredAnswers
from sutler.store.retention import Sweep, Sweeper
from sutler.watch import Watcher

from services.erp.adapters import make_registry
from services.erp.adapters.answers.cache_calls import CacheCalls
from services.erp.adapters.answers.cache_service import CacheServiceCache
from services.erp.adapters.answers.local_answers import LocalAnswers
from services.erp.adapters.answers.nearby import Nearby
from services.erp.adapters.answers.sealed_values import SealedValues
from services.erp.adapters.schema import MIGRATIONS
from services.erp.adapters.stored_connections import StoredConnections, StoredFieldSets
from services.erp.adapters.stored_feeds import LEASE, StoredFeeds
from services.erp.adapters.stored_figures import StoredFigures
from services.erp.adapters.stored_imports import StoredImports
from services.erp.adapters.stored_journal import StoredJournal
from services.erp.adapters.stored_keys import StoredKeys
from services.erp.adapters.stored_subscriptions import StoredSubscriptions
from services.erp.adapters.stored_transactions import StoredTransactions, leading
from services.erp.administration import Administration, Rules
from services.erp.aggregating import Aggregating
from services.erp.attempts import Attempts
from services.erp.batches.batching import Batching
from services.erp.batches.upserting import Upserting
from services.erp.caching import Answers
from services.erp.creating import Creating
from services.erp.customers.reading import Customers
from services.erp.etags import Etags
from services.erp.exports.exporting import Exporting
from services.erp.feed.running import FeedRunner
from services.erp.feed.watching import Keeping, Watching
from services.erp.imports.creating import CreatedRows
from services.erp.imports.model import Mode
from services.erp.imports.running import Importing, RowWriter
from services.erp.imports.upserting import UpsertedRows
from services.erp.keeping import Keeper
from services.erp.links import Links
from services.erp.measures import Measures
from services.erp.ports import RecordCache
from services.erp.reading import Reading
from services.erp.resealing import Resealer
from services.erp.searching import Searching
from services.erp.servicer import ErpGatewayServicer
from services.erp.servicer.gateway import AREA, Gateway
from services.erp.servicer.repeats import Repeats
from services.erp.settings import Settings
from services.erp.statistics import Statistics
from services.erp.subscribing import Delivery, Subscribing
from services.erp.transactions.batches import Batches
from services.erp.transactions.course import Course
from services.erp.transactions.run import Scenes
from services.erp.transactions.running import Running
from services.erp.transactions.transactions import Transactions
from services.erp.wire import subscriptions as wire
from services.erp.writing import Writing

Works = dict[str, Callable[[], Coroutine[Any, Any, None]]]
"""What goes on behind the calls: begun last, when everything else stands."""


@asynccontextmanager
async def app(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
    """Composes the service."""
    keep = timedelta(days=settings.request_retention_days)
    ttl = timedelta(seconds=settings.lease_seconds)
    poll = settings.poll_interval_seconds
    box = make_box(AREA, settings.secret_keys.get_secret_value(), data_folder(settings.data))
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.data, name=AREA, migrations=MIGRATIONS))
        works: Works = {"retention": _sweeper(settings, database).run}
        neighbours: dict[str, Check] = {}
        values = SealedValues(box.derived("cache"), runtime.telemetry.meter)
        cache = await _cache(settings, values, stack, works, neighbours)
        relay = await _relay(settings, stack, database, works, neighbours)

        store = StoredConnections(database, keep)
        drivers = make_registry()
        measures = Measures(runtime.telemetry.meter)
        links = Links(store, drivers.make, box, measures.observe)
        measures.follow(lambda: links.all_figures)
        statistics = Statistics(links, StoredFigures(database), new_id())
        stack.push_async_callback(links.close)
        field_sets, journal = StoredFieldSets(database), StoredJournal(database, keep)
        feeds, subscriptions = StoredFeeds(database), StoredSubscriptions(database, keep)
        answers = Answers(cache)
        stack.push_async_callback(answers.close)
        reading = Reading(answers, field_sets)
        attempts, imports = Attempts(journal, owner=new_id()), StoredImports(database, ttl)
        keys = StoredKeys(database)
        created = CreatedRows(imports, journal, attempts, keys)
        writers: dict[Mode, RowWriter] = {
            Mode.CREATE: created,
            Mode.UPSERT: UpsertedRows(imports, journal, attempts, created, keys),
        }
        etags = Etags(reading, field_sets)
        steps = StoredTransactions(database, keep)
        course = Course(steps, Scenes(links, answers, keys), etags)
        under_way = Running(steps, course, leading(database, ttl), settings.drain_seconds)
        stack.push_async_callback(under_way.close)
        batches = Batches(steps, under_way, attempts)
        delivery = Delivery(settings.rule_address, lambda: relay.failure if relay else "")
        sealer = await token_sealer(database)
        rules = Rules(settings.allowed_urls, settings.allow_skip_certificate_check)
        gateway = Gateway(
            administration=Administration(store, links, box, drivers, rules, answers),
            links=links,
            reading=reading,
            searching=Searching(reading, answers),
            aggregating=Aggregating(reading, answers),
            writing=Writing(journal, attempts, reading, etags, answers),
            creating=Creating(journal, attempts, reading, answers, keys, batches),
            journal=journal,
            transactions=Transactions(steps, under_way, attempts, answers, etags, keys),
            batching=Batching(batches, journal, attempts, reading, etags, answers),
            upserting=Upserting(batches, reading, keys),
            subscribing=Subscribing(subscriptions, feeds, links, reading, delivery, poll),
            watching=Watching(
                feeds,
                links,
                reading,
                Watcher(sealer, runtime.shutdown),
                poll,
                Keeping(settings.watch_idle_seconds, settings.max_watches),
                lambda one: wire.change(one).ByteSize(),
            ),
            exporting=Exporting(reading, sealer, runtime.shutdown),
            importing=Importing(imports, journal, writers, answers, runtime.shutdown),
            imports=imports,
            pager=Pager(sealer),
            customers=Customers(reading, answers),
            statistics=statistics,
        )

        resealer = Resealer(store, box)

        async def forget() -> None:
            await feeds.expire()
            await feeds.forget_log(timedelta(days=settings.change_retention_days).total_seconds())
            await imports.forget(timedelta(days=settings.journal_retention_days).total_seconds())
            await resealer.run()

        runner = FeedRunner(feeds, subscriptions, links, reading, answers, poll, settings.mass_delete_hold_seconds)
        keeper = Keeper(store, links, attempts, forget, under_way.recover)

        async def keep_house(lease: Lease) -> None:
            await keeper.run()

        works["feeds"] = lambda: lead(database, LEASE, runner.work, ttl=ttl)
        works["housekeeping"] = lambda: lead(database, "erp.housekeeping", keep_house, ttl=ttl)
        works["conditions"] = links.keep_conditions
        works["figures"] = statistics.run
        running = await stack.enter_async_context(background({name: begin() for name, begin in works.items()}))
        yield Service(
            area=AREA,
            servicers={"sutler.erp.v1.ErpGateway": (add_ErpGatewayServicer_to_server, ErpGatewayServicer(gateway))},
            needed={"store": database.health, "work": running.check},
            neighbours=neighbours,
            answers=StoredAnswers(database),
            permit=Repeats(gateway).permit,
        )


async def _cache(
    settings: Settings, values: SealedValues, stack: AsyncExitStack, works: Works, neighbours: dict[str, Check]
) -> RecordCache | None:
    """Connects to CacheService, if one is configured, as the gateway itself: callers need no rights there."""
    near_bytes = settings.near_cache_mb * 1024 * 1024
    if not settings.cache_address:
        return LocalAnswers(near_bytes) if settings.alone and near_bytes else None
    ca = settings.neighbour_ca.read_bytes() if settings.neighbour_ca else None
    connection = await stack.enter_async_context(
        connect(settings.cache_address, token=service_token(settings, AREA), ca=ca, attempts=1)
    )
    calls = CacheCalls(connection, settings.cache_name)
    cache = CacheServiceCache(calls, values, Nearby(calls.stub, settings.cache_name, near_bytes))
    stack.push_async_callback(cache.close)
    works["cache"] = cache.catch_up
    neighbours["cache"] = is_serving(connection, "cache")
    return cache


async def _relay(
    settings: Settings, stack: AsyncExitStack, database: Database, works: Works, neighbours: dict[str, Check]
) -> OutboxRelay | None:
    """Connects to RuleService, if one is configured; without, events wait in the outbox."""
    if not settings.rule_address:
        return None
    connection = await stack.enter_async_context(neighbour(settings, AREA, settings.rule_address))
    ttl = timedelta(seconds=settings.lease_seconds)
    relay = OutboxRelay(database, RulePublisher(connection).publish, ttl=ttl)
    works["events"] = relay.run
    neighbours["rule"] = is_serving(connection, "rule")
    return relay


def _sweeper(settings: Settings, database: Database) -> Sweeper:
    sweeps = [
        Sweep("journal", "update_time", timedelta(days=settings.journal_retention_days)),
        Sweep("journal_steps", "update_time", timedelta(days=settings.journal_retention_days)),
        Sweep("keys_in_use", "expire_time", timedelta(days=settings.journal_retention_days)),
        Sweep("touches", "time", timedelta(days=1)),
        Sweep("observations", "away_time", timedelta(days=settings.away_retention_days)),
        Sweep("figures", "time", timedelta(minutes=10)),
        Sweep("field_sets", "use_time", timedelta(days=settings.etag_retention_days)),
    ]
    if not settings.rule_address:
        sweeps.append(Sweep("outbox", "time", timedelta(days=settings.event_retention_days)))
    return Sweeper(database, sweeps)
