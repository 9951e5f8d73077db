"""Creating, changing and deleting subscriptions, each with its feed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sutler.auth import authorize, encode_principal
from sutler.context import Principal
from sutler.errors import AlreadyExists, FailedPrecondition, SutlerError, Unavailable, invalid, not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.ids import new_id

from services.erp import faults
from services.erp.connections import Connection
from services.erp.feed.looking import again, as_seen, begin, begin_unseen, beginning, look, timing, watched_fields
from services.erp.feed.model import Feed, Kind, Observation
from services.erp.links import Link, Links
from services.erp.ports import FeedStore, Query, SubscriptionStore
from services.erp.reach import WATCH
from services.erp.reading import Reading
from services.erp.selecting import check_domain_size
from services.erp.standing import Standing, standing
from services.erp.subscriptions import Subscription, SubscriptionSpec

CREATE = "erp.subscriptions.create"

Edit = Callable[[Subscription | None], SubscriptionSpec]
"""Makes the wanted settings of what is stored; of None if nothing is."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where events go.

    Attributes:
        target: The address of RuleService; empty if none is configured.
        failure: Tells why the last delivery failed; empty if it did not.
    """

    target: str
    failure: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Wish:
    """A change of a subscription that somebody wants.

    Attributes:
        connection_id: The id of the connection.
        subscription_id: The id of the subscription.
        principal: Who wants it; the subscription works on its behalf.
        edit: Makes the settings.
        etag: The etag that it must have; any if empty.
        create: Whether there must be none yet.
        allow_missing: Whether it is created if there is none.
        validate_only: Changes nothing.
    """

    tenant: str
    connection_id: str
    subscription_id: str
    principal: Principal
    edit: Edit
    etag: str = ""
    create: bool = False
    allow_missing: bool = False
    validate_only: bool = False

    @property
    def name(self) -> str:
        """The name of the subscription."""
        return f"connections/{self.connection_id}/subscriptions/{self.subscription_id}"


class Subscribing:
    """Keeps subscriptions.

    Args:
        store: Where they are stored.
        feeds: Where their feeds are.
        links: Opens connections.
        reading: Reads records.
        delivery: Where events go.
        poll_seconds: The pause between two polls where a connection says nothing else.
    """

    def __init__(
        self,
        store: SubscriptionStore,
        feeds: FeedStore,
        links: Links,
        reading: Reading,
        delivery: Delivery,
        poll_seconds: float,
    ) -> None:
        self._store = store
        self._feeds = feeds
        self._links = links
        self._reading = reading
        self._delivery = delivery
        self._poll_seconds = poll_seconds

    async def get(self, tenant: str, connection_id: str, subscription_id: str) -> tuple[Subscription, Standing]:
        """Returns a subscription and how it stands. Raises NotFound if there is none of that name."""
        found = await self._store.get(tenant, connection_id, subscription_id)
        return found, await self.standing(found)

    async def page(self, tenant: str, connection_id: str, query: Query) -> list[tuple[Subscription, Standing]]:
        """Returns a page of a connection's subscriptions. Raises NotFound if there is no such connection."""
        await self._links.find(tenant, connection_id)
        found = await self._store.page(tenant, connection_id, query)
        return [(one, await self.standing(one)) for one in found]

    async def standing(self, subscription: Subscription) -> Standing:
        """Returns how well a subscription works, and how far it has read."""
        feed = await self._feeds.get(subscription.uid)
        link = await self._links.find(subscription.tenant, subscription.connection)
        return standing(
            subscription,
            feed,
            link.connection,
            timing(link.connection.spec.feed_policy, self._poll_seconds),
            target=self._delivery.target,
            failure=self._delivery.failure(),
            pending=await self._store.pending(subscription),
            now=time.time() + (link.clock_skew or 0.0),
        )

    async def save(self, wish: Wish, once: Once | None) -> Subscription:
        """Creates or changes a subscription.

        Raises:
            SutlerError: As the contract says of CreateSubscription and UpdateSubscription.
        """
        link = await self._links.find(wish.tenant, wish.connection_id)
        stored = await self._find(wish)
        self._check_presence(wish, stored)
        spec = wish.edit(stored)
        self._check(link, wish, spec)
        feed = await self._described(link, wish, spec)
        begun, observations = await self._begun(link, feed, wish, spec, stored)

        def make(stored: Subscription | None, now: float) -> tuple[Subscription, Feed | None]:
            self._check_presence(wish, stored)
            return _made(wish, link.connection, stored, spec, begun, now)

        if wish.validate_only:
            return make(stored, time.time())[0]
        return await self._store.save(link.connection, wish.subscription_id, make, observations, once)

    async def delete(
        self,
        tenant: str,
        connection_id: str,
        subscription_id: str,
        once: Once | None,
        *,
        etag: str,
        allow_missing: bool,
        validate_only: bool,
    ) -> None:
        """Deletes a subscription; events that wait are still delivered.

        Raises:
            NotFound: If there is none, unless ``allow_missing``.
            Conflict: If it has another etag.
        """

        def check(stored: Subscription | None) -> bool:
            if stored is None:
                if not allow_missing:
                    raise not_found(f"connections/{connection_id}/subscriptions/{subscription_id}")
                return False
            check_etag(etag, stored.etag, stored.name)
            return not validate_only

        await self._store.delete(tenant, connection_id, subscription_id, check, once)

    async def _find(self, wish: Wish) -> Subscription | None:
        try:
            return await self._store.get(wish.tenant, wish.connection_id, wish.subscription_id)
        except SutlerError as error:
            if error.reason != "NOT_FOUND":
                raise
            return None

    def _check_presence(self, wish: Wish, stored: Subscription | None) -> None:
        if stored is None:
            if wish.create:
                return
            if not wish.allow_missing:
                raise not_found(wish.name)
            authorize(wish.principal, CREATE, [f"{wish.connection_id}/"])
            return
        if wish.create:
            raise AlreadyExists(f"{stored.name} exists", resource=stored.name)
        check_etag(wish.etag, stored.etag, stored.name)

    def _check(self, link: Link, wish: Wish, spec: SubscriptionSpec) -> None:
        """Checks settings, target and rights; what is published later is published on the caller's behalf."""
        if not spec.model:
            raise invalid("subscription.model", "is required", reason="FIELD_INVALID")
        if spec.filter and spec.domain:
            raise invalid("subscription.filter", "only one of filter and domain may be set", reason="FIELD_INVALID")
        if spec.event_target and spec.event_target != self._delivery.target:
            raise faults.address_not_allowed(spec.event_target, "SUTLER_ERP_RULE_ADDRESS")
        check_domain_size(spec.domain)
        authorize(wish.principal, WATCH, [f"{link.connection.id}/{spec.model}"])
        authorize(wish.principal, "rule.events.batchPublish", None)

    async def _described(self, link: Link, wish: Wish, spec: SubscriptionSpec) -> Feed:
        """Returns the feed of a subscription, checked against the ERP if it answers."""
        transitions = spec.transitions or link.driver.transitions(spec.model)
        more = tuple(one.field for one in transitions)
        archive, fields = "", spec.fields
        try:
            schema = await link.catalogue.schema(link.ask(wish.principal), spec.model)
            archive, fields = schema.model.archive_field, spec.fields or link.driver.view(schema)
        except (Unavailable, FailedPrecondition):
            if not spec.fields:  # without the model nobody knows its fields
                raise
        seen = watched_fields(fields, more, archive)
        return Feed(
            uid="",
            tenant=wish.tenant,
            connection=link.connection.id,
            connection_uid=link.connection.uid,
            kind=Kind.SUBSCRIPTION,
            spec=replace(seen, model=spec.model, filter=spec.filter, domain=spec.domain),
            principal=encode_principal(replace(wish.principal.on_behalf_of or wish.principal, tenant=wish.tenant)),
        )

    async def _begun(
        self, link: Link, feed: Feed, wish: Wish, spec: SubscriptionSpec, stored: Subscription | None
    ) -> tuple[Feed, Sequence[Observation]]:
        """Returns a feed that begins now; a changed one goes on where it is, and is only checked."""
        touch = await self._feeds.latest_touch()
        try:
            view = await look(link, self._reading, feed, wish.principal)
            if stored is not None:
                return feed, ()
            if spec.replay_existing:
                cursor = as_seen(beginning(view.erp_time(), touch), view)
                return replace(feed, cursor=replace(cursor, replay=True)), ()
            return await begin(view, feed, timing(link.connection.spec.feed_policy, self._poll_seconds), touch)
        except (Unavailable, FailedPrecondition):
            begun = begin_unseen(feed, touch, link.clock_skew)
            return replace(begun, cursor=replace(begun.cursor, replay=spec.replay_existing)), ()


def _made(
    wish: Wish, connection: Connection, stored: Subscription | None, spec: SubscriptionSpec, feed: Feed, now: float
) -> tuple[Subscription, Feed | None]:
    """Returns what is to be stored: the subscription, and its feed where that is new or looks otherwise now."""
    writer = wish.principal
    if stored is None:
        uid = new_id()
        made = Subscription(
            tenant=wish.tenant,
            connection=connection.id,
            connection_uid=connection.uid,
            id=wish.subscription_id,
            uid=uid,
            spec=spec,
            create_time=now,
            update_time=now,
            creator=writer.actor,
            principal=feed.principal,
        )
        return made, replace(feed, uid=uid)
    changed = replace(
        stored,
        spec=spec,
        revision=stored.revision + 1,
        update_time=now,
        creator=writer.actor,
        principal=feed.principal,
    )
    return changed, replace(feed, uid=stored.uid, revision=changed.revision)


def goes_on(stored: Feed, wanted: Feed) -> Feed:
    """Returns the feed of a changed subscription: it keeps its position and what it knows."""
    cursor = stored.cursor if stored.spec == wanted.spec else again(stored.cursor)
    return replace(stored, spec=wanted.spec, principal=wanted.principal, revision=wanted.revision, cursor=cursor)
