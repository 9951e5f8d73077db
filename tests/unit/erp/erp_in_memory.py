"""An ERP in memory whose transactions can end long after they began, and a feed of it on a real store."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from sutler.context import ANONYMOUS
from sutler.paging import Order
from sutler.store import Database, leases, open_database

from services.erp.adapters.odoo import views
from services.erp.adapters.schema import MIGRATIONS
from services.erp.adapters.stored_connections import StoredFieldSets
from services.erp.adapters.stored_feeds import LEASE, StoredFeeds
from services.erp.adapters.stored_subscriptions import StoredSubscriptions
from services.erp.caching import Answers
from services.erp.catalogue import Catalogue
from services.erp.coalescing import Coalescer
from services.erp.feed.looking import Look, Timing, begin, look
from services.erp.feed.model import Feed, FeedSpec, Kind
from services.erp.feed.polling import Poller
from services.erp.links import Link
from services.erp.locks import RecordLocks
from services.erp.ports import DriverInfo
from services.erp.reading import Reading
from services.erp.records import Row
from services.erp.schemas import Model, ModelSchema
from services.erp.selecting import Selector
from services.erp.subscriptions import Subscription, SubscriptionSpec, Transition
from services.erp.users import Ask
from tests.unit.erp.models import ORDER
from tests.unit.erp.test_connections import a_connection

KEEP = timedelta(days=1)


@dataclass
class MemoryErp:
    """Orders with a state. ``now`` is its clock; a change bears the time when its transaction began.

    The feed's user does not see what is ``hidden``.
    """

    info = DriverInfo(driver="memory", display_name="Memory", erp_versions="1")
    now: float = 10_000.0
    rows: dict[int, tuple[float, float, str]] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    searches: int = 0
    server_version: str = "1"

    @property
    def clock_skew(self) -> float:
        return self.now - time.time()

    def write(self, record_id: int, state: str, began: float | None = None) -> None:
        stamp = self.now if began is None else began
        created = self.rows[record_id][0] if record_id in self.rows else stamp
        self.rows[record_id] = (created, stamp, state)

    async def schema(self, ask: Ask, model: str) -> ModelSchema:
        return replace(ORDER, model=Model(model="sale.order"))

    async def search(
        self,
        ask: Ask,
        schema: ModelSchema,
        selector: Selector,
        *,
        fields: Sequence[str] = (),
        order: Sequence[Order] = (),
        offset: int = 0,
        limit: int = 0,
        binaries: bool = False,
    ) -> list[Row]:
        self.searches += 1
        passes = selector.filter.predicate() if selector.filter is not None else (lambda item: True)
        found = [
            self._row(one)
            for one, (_, changed, state) in sorted(self.rows.items())
            if passes({"state": state})
            and one not in self.hidden
            and (selector.ids is None or one in selector.ids)
            and (selector.after_id is None or one > selector.after_id)
            and (selector.since is None or changed >= selector.since)
            and (selector.until is None or changed < selector.until)
        ]
        return found[:limit] if limit else found

    async def read(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], fields: Sequence[str], **_: Any
    ) -> list[Row]:
        return [self._row(one) for one in ids if one in self.rows]

    def entity(self, model: str) -> str:
        return views.entity(model)

    def transitions(self, model: str) -> tuple[Transition, ...]:
        return views.transitions(model)

    def _row(self, record_id: int) -> Row:
        created, changed, state = self.rows[record_id]
        # Told with seconds, kept with more, as Odoo does.
        return Row(
            id=record_id,
            values={"state": state, "display_name": f"S{record_id}"},
            create_time=float(int(created)),
            update_time=float(int(changed)),
            display_name=f"S{record_id}",
        )


@dataclass
class Fed:
    """A feed of a memory ERP."""

    erp: MemoryErp
    database: Database
    feeds: StoredFeeds
    poller: Poller
    look: Look

    async def poll(self) -> None:
        """One turn of the runner."""
        await self.poller.recognise()
        await self.poller.open_window()
        await self.poller.baseline(time.monotonic() + 60)
        await self.poller.closed_window()
        await self.poller.reconcile(time.monotonic() + 60)

    def as_user(self, identity: str) -> None:
        """Lets the feed read as another user of the ERP."""
        view = self.poller._look.view
        seen = replace(self.look, view=replace(view, ask=replace(view.ask, identity=identity)))
        self.poller.aim(seen, self.poller._subscription, self.poller._timing)

    async def touch(self, record_id: int, correlation_id: str) -> None:
        """Notes a write through the gateway."""
        await self.database.write(
            lambda tx: tx.execute(
                "INSERT INTO touches VALUES ((SELECT COUNT(*) + 1 FROM touches), 'c', 'sale.order', ?, ?, 'anna', ?)",
                (record_id, correlation_id, tx.now),
            )
        )

    async def correlations(self) -> list[tuple[str, int, str]]:
        """Returns type, record and correlation id of every event, in order."""
        rows = await self.database.read(lambda tx: tx.all("SELECT type, data FROM outbox ORDER BY seq"))
        data = [(kind, json.loads(text)) for kind, text in rows]
        return [(kind, one["id"], one["correlation_id"]) for kind, one in data]

    async def told(self) -> list[tuple[str, int, Any]]:
        """Returns type, record and state of every event, in order."""
        rows = await self.database.read(lambda tx: tx.all("SELECT type, data FROM outbox ORDER BY seq"))
        data = [(kind, json.loads(text)) for kind, text in rows]
        return [(kind, one["id"], one["values"].get("state")) for kind, one in data]

    async def ids(self) -> list[str]:
        rows = await self.database.read(lambda tx: tx.all("SELECT id FROM outbox ORDER BY seq"))
        return [row[0] for row in rows]

    async def stored(self) -> Feed:
        found = await self.feeds.get(self.poller.feed.uid)
        assert found is not None
        return found


@asynccontextmanager
async def feeding(
    erp: MemoryErp,
    *,
    filter: str = "",
    replay: bool = False,
    lag: float = 30.0,
    reconcile: float = 0.0,
    rate: int = 100_000,
    hold: float = 0.0,
) -> AsyncIterator[Fed]:
    """A subscription to orders that begins now."""
    async with open_database("sqlite:///:memory:", name="erp", migrations=MIGRATIONS) as database:
        connection = a_connection()
        link = Link(
            connection,
            erp,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            Catalogue(erp, connection.spec),  # type: ignore[arg-type]
            Coalescer(erp, 0),  # type: ignore[arg-type]
            RecordLocks(),
            None,  # type: ignore[arg-type]
        )
        reading = Reading(Answers(None), StoredFieldSets(database))
        feeds, subscriptions = StoredFeeds(database), StoredSubscriptions(database, KEEP)
        times = Timing(poll=1.0, lag=lag, reconcile=reconcile)
        spec = FeedSpec(model="sale.order", filter=filter, watched=("display_name", "state"))
        feed = Feed(
            uid="s1", tenant="default", connection="main", connection_uid="c", kind=Kind.SUBSCRIPTION, spec=spec
        )
        seen = await look(link, reading, feed, ANONYMOUS)
        feed, known = await begin(seen, feed, times, 0)
        if replay:
            feed, known = replace(feed, cursor=replace(feed.cursor, replay=True)), []
        subscription = Subscription(
            tenant="default",
            connection="main",
            connection_uid="c",
            id="orders",
            uid="s1",
            spec=SubscriptionSpec(model="sale.order", filter=filter, max_event_rate=rate),
        )
        await database.write(
            lambda tx: tx.execute(
                "INSERT INTO connections VALUES ('default', 'main', 'connections/main', 'c', '{}', '{}', 1, 1, 0, 0,"
                " '', 'HEALTHY', '', 0, '', NULL)"
            )
        )
        await subscriptions.save(connection, "orders", lambda _, now: (subscription, feed), known, None)
        fence = await database.write(lambda tx: leases.acquire(tx, LEASE, "test", timedelta(hours=1)))
        assert fence is not None
        poller = Poller(feed, feeds, reading, Answers(None), fence, hold)
        poller.aim(seen, subscription, times)
        yield Fed(erp, database, feeds, poller, seen)
