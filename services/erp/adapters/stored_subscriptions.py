"""Subscriptions, in the store, each together with its feed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from sutler.errors import AlreadyExists, not_found
from sutler.idempotency import Once
from sutler.store import Database, Transaction, requests

from services.erp import filters
from services.erp.adapters.rows import FEEDS, SUBSCRIPTIONS
from services.erp.adapters.stored_feeds import feeds_changed, store_observations
from services.erp.connections import Connection
from services.erp.feed.model import Feed, Kind, Observation
from services.erp.ports import Query
from services.erp.subscribing import goes_on
from services.erp.subscriptions import Subscription


class StoredSubscriptions:
    """See :class:`services.erp.ports.SubscriptionStore`.

    Args:
        db: The store.
        keep: For how long answers to requests are remembered.
    """

    def __init__(self, db: Database, keep: timedelta) -> None:
        self._db = db
        self._keep = keep

    async def get(self, tenant: str, connection_id: str, subscription_id: str) -> Subscription:
        """Returns a subscription."""
        found = await self._db.read(lambda tx: _find(tx, tenant, connection_id, subscription_id))
        if found is None:
            raise not_found(f"connections/{connection_id}/subscriptions/{subscription_id}")
        return found

    async def page(self, tenant: str, connection_id: str, query: Query) -> list[Subscription]:
        """Returns a page of a connection's subscriptions."""
        return await self._db.scan(
            lambda tx: SUBSCRIPTIONS.page(
                tx, "tenant = ? AND connection = ?", (tenant, connection_id), query, filters.SUBSCRIPTIONS
            )
        )

    async def save(
        self,
        connection: Connection,
        subscription_id: str,
        edit: Callable[[Subscription | None, float], tuple[Subscription, Feed | None]],
        observations: Sequence[Observation],
        once: Once | None,
    ) -> Subscription:
        """Stores what ``edit`` makes of a subscription, and its feed."""

        def change(tx: Transaction) -> Subscription:
            if tx.one("SELECT 1 FROM connections WHERE uid = ?", (connection.uid,)) is None:
                raise not_found(connection.name)
            stored = SUBSCRIPTIONS.find(tx, "connection_uid = ? AND key = ?", (connection.uid, subscription_id.lower()))
            mine = stored if stored is not None and stored.id == subscription_id else None
            made, feed = edit(mine, tx.now)
            if mine is None and stored is not None:
                raise AlreadyExists(f"{stored.name} exists; names differ in more than case", resource=stored.name)
            SUBSCRIPTIONS.put(tx, made)
            if feed is not None:
                _put_feed(tx, feed, observations, new=mine is None)
                feeds_changed(tx)
            requests.remember(tx, once, made, self._keep)
            return made

        return await self._db.write(change)

    async def delete(
        self,
        tenant: str,
        connection_id: str,
        subscription_id: str,
        check: Callable[[Subscription | None], bool],
        once: Once | None,
    ) -> None:
        """Deletes a subscription and its feed."""

        def change(tx: Transaction) -> None:
            stored = _find(tx, tenant, connection_id, subscription_id)
            go_on = check(stored)
            if go_on and stored is not None:
                tx.execute("DELETE FROM feeds WHERE uid = ?", (stored.uid,))
                tx.execute("DELETE FROM subscriptions WHERE uid = ?", (stored.uid,))
                feeds_changed(tx)
            if go_on or stored is None:
                requests.remember(tx, once, None, self._keep)

        await self._db.write(change)

    async def of_feed(self, feed: Feed) -> Subscription | None:
        """Returns the subscription that a feed belongs to."""
        if feed.kind is not Kind.SUBSCRIPTION:
            return None
        return await self._db.read(lambda tx: SUBSCRIPTIONS.find(tx, "uid = ?", (feed.uid,)))

    async def pending(self, subscription: Subscription) -> int:
        """Returns how many events of a subscription wait; the outbox holds only what was not delivered yet."""
        needle = f'%"subscription":"{subscription.name}"%'.replace("_", "\\_")

        def count(tx: Transaction) -> int:
            row = tx.one(
                "SELECT COUNT(*) FROM outbox WHERE tenant = ? AND data LIKE ? ESCAPE '\\'",
                (subscription.tenant, needle),
            )
            assert row is not None
            return int(row[0])

        return await self._db.scan(count)


def _find(tx: Transaction, tenant: str, connection_id: str, subscription_id: str) -> Subscription | None:
    name = f"connections/{connection_id}/subscriptions/{subscription_id}"
    return SUBSCRIPTIONS.find(tx, "tenant = ? AND connection = ? AND name = ?", (tenant, connection_id, name))


def _put_feed(tx: Transaction, feed: Feed, observations: Sequence[Observation], *, new: bool) -> None:
    """Stores the feed of a new or changed subscription; a changed one keeps its position and what it knows."""
    stored = None if new else FEEDS.find(tx, "uid = ?", (feed.uid,))
    if stored is None:
        FEEDS.put_with(tx, replace(feed, record_count=len(observations)), {"log_start": 0})
        store_observations(tx, feed, observations)
        return
    FEEDS.put_with(tx, goes_on(stored, feed), {"log_start": 0})
