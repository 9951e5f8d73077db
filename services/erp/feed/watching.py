"""Watches: the changes of a model as they are seen, without a subscription."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sutler.auth import encode_principal
from sutler.context import Principal
from sutler.errors import SutlerError, Unavailable
from sutler.ids import derive, new_id
from sutler.watch import Batch, Watcher

from services.erp.feed import faults
from services.erp.feed.looking import (
    PAGE,
    Look,
    as_seen,
    begin,
    begin_unseen,
    identity,
    look,
    principal_of,
    timing,
    watched_fields,
)
from services.erp.feed.messages import Size, messages
from services.erp.feed.model import Change, Detection, Feed, FeedSpec, FieldChange, Kind
from services.erp.links import Link, Links
from services.erp.ports import FeedStore
from services.erp.reading import Reading
from services.erp.records import Record, key_of
from services.erp.subscriptions import Action

ALIVE_SECONDS = 10.0
REST_SECONDS = 30.0
"""How long a feed is read whose readers died with their process."""

REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long, and how many feeds of watches are kept.

    Attributes:
        idle_seconds: How long one is kept that nobody watches, so that a watch can be resumed.
        most: How many a caller may have of one connection.
    """

    idle_seconds: float
    most: int


Checked = tuple[int, str] | None
"""For which revision of the connection and which principal a watch was checked; None for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSpec:
    """What a caller watches. The attributes are those of the contract's WatchRecordsRequest."""

    model: str
    filter: str = ""
    domain: tuple[object, ...] = ()
    fields: tuple[str, ...] = ()
    resume_token: str = ""
    replay_existing: bool = False


class _FeedLog:
    """The log of one feed."""

    def __init__(self, store: FeedStore, uid: str, size: Size) -> None:
        self._store = store
        self._uid = uid
        self._size = size

    @property
    def identity(self) -> str:
        """Says which feed it is."""
        return self._uid

    def size(self, change: Change) -> int:
        """Returns how many bytes a change takes on the wire."""
        return self._size(change)

    async def bounds(self) -> tuple[int, int]:
        """Returns the position before the oldest kept change, and that of the newest."""
        return await self._store.log_bounds(self._uid)

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, Change]]:
        """Returns changes after a position, as many as fit into one message."""
        found = await self._store.log_after(self._uid, position, limit)
        first = next(messages((change for _, change in found), self._size), [])
        return [(number, change) for (number, _), change in zip(found, first, strict=False)]


class Watching:
    """Makes watches. Those of the same thing by the same user of the ERP share a feed.

    Args:
        store: Where feeds are stored.
        links: Opens connections.
        reading: Makes records.
        watcher: Makes batches of logs.
        poll_seconds: The pause between two polls where a connection says nothing else.
        keeping: How long, and how many feeds are kept.
        size: Tells how many bytes a change takes on the wire.
    """

    def __init__(
        self,
        store: FeedStore,
        links: Links,
        reading: Reading,
        watcher: Watcher,
        poll_seconds: float,
        keeping: Keeping,
        size: Size,
    ) -> None:
        self._store = store
        self._links = links
        self._reading = reading
        self._watcher = watcher
        self._poll_seconds = poll_seconds
        self._keeping = keeping
        self._readers: Counter[str] = Counter()
        self._size = size

    async def watch(
        self, link: Link, principal: Principal, spec: WatchSpec
    ) -> AsyncIterator[tuple[Batch[Change], Feed]]:
        """Yields batches of changes for ever, each with the feed as it is.

        Raises:
            SutlerError: As the contract says of WatchRecords.
        """
        feed, view = await self._feed(link, principal, spec)
        name = f"{feed.tenant}/{feed.uid}"
        alive = asyncio.create_task(self._keep_alive(feed))
        self._readers[feed.uid] += 1
        checked: Checked = None
        try:
            token = spec.resume_token
            position = self._replay_position(name, token)
            if position is None and spec.replay_existing and not token:
                position = ((await self._store.log_bounds(feed.uid))[1], 0)
            if position is not None:
                async for batch in self._replay(view, feed, name, position):
                    token = batch.resume_token
                    checked = await self._check(feed, principal, checked)
                    yield batch, feed
            log = _FeedLog(self._store, feed.uid, self._size)
            async for batch in self._watcher.watch(
                log, self._store.signal, name=name, resume_token=token, see=lambda change: change
            ):
                feed = await self._store.get(feed.uid) or feed
                if (feed.rest_time or 0.0) <= time.time():  # the last reader of another process left
                    await self._store.keep_alive(self._kept(feed))
                checked = await self._check(feed, principal, checked)
                yield batch, feed
        finally:
            alive.cancel()
            self._readers[feed.uid] -= 1
            if not self._readers[feed.uid]:
                del self._readers[feed.uid]
                with suppress(SutlerError):  # it rests a little later by itself
                    await self._store.rest(feed.uid)

    async def _feed(self, link: Link, principal: Principal, spec: WatchSpec) -> tuple[Feed, Look]:
        """Returns the feed of a watch, a new one if there is none, and the way to its records."""
        connection = link.connection
        ask = link.ask(principal)
        schema = await link.catalogue.schema(ask, spec.model)
        archive, default = schema.model.archive_field, spec.fields or link.driver.view(schema)
        fields = replace(watched_fields(default, (), archive), model=spec.model, filter=spec.filter, domain=spec.domain)
        feed = Feed(
            uid=_uid(connection.tenant, connection.uid, connection.epoch, ask.identity, fields),
            tenant=connection.tenant,
            connection=connection.id,
            connection_uid=connection.uid,
            kind=Kind.WATCH,
            spec=fields,
            principal=_encoded(principal, connection.tenant),
            creator=principal.actor,
        )
        feed = self._kept(feed)
        touch = await self._store.latest_touch()
        view = await look(link, self._reading, feed, principal)  # what others watch needs the permissions too
        known = await self._store.get(feed.uid)
        if known is not None:
            await self._store.keep_alive(feed)
            return known, view

        def check(count: int) -> None:
            if count >= self._keeping.most:
                raise faults.watches_limited(link.name, feed.creator, self._keeping.most)

        check(await self._store.watched(feed.connection_uid, feed.creator))
        times = timing(connection.spec.feed_policy, self._poll_seconds)
        try:
            begun, observations = await begin(view, feed, times, touch)
        except Unavailable:
            begun, observations = begin_unseen(feed, touch, link.clock_skew), []
        begun = replace(begun, cursor=as_seen(begun.cursor, view))
        return await self._store.ensure(begun, observations, check), view

    def _kept(self, feed: Feed) -> Feed:
        """Returns a feed that somebody watches now."""
        now = time.time()
        return replace(feed, rest_time=now + REST_SECONDS, expire_time=now + self._keeping.idle_seconds)

    async def _keep_alive(self, feed: Feed) -> None:
        while True:
            await asyncio.sleep(ALIVE_SECONDS)
            await self._store.keep_alive(self._kept(feed))

    async def _check(self, feed: Feed, principal: Principal, checked: Checked) -> Checked:
        """Checks that a caller still works as the user of the ERP that its feed reads as.

        If whoever the feed is read on behalf of does not any more, it is read on behalf of this caller.

        Returns:
            What was checked: nothing more is to be done until that changes.

        Raises:
            Conflict: If the caller works as another user now (ERP_USER_CHANGED).
            NotFound: If the connection is gone.
        """
        link = await self._links.find(feed.tenant, feed.connection)
        now = (link.connection.revision, feed.principal)
        if now == checked or link.connection.spec.disabled:
            return checked
        if identity(link, principal) != feed.cursor.identity:
            raise faults.erp_user_changed(link.name, principal.actor)
        if identity(link, principal_of(feed.principal)) != feed.cursor.identity:
            await self._store.adopt(feed, _encoded(principal, feed.tenant))
        return now

    def _replay_position(self, name: str, token: str) -> tuple[int, int] | None:
        """Returns the position in the log and the last id of a replay that a token goes on with."""
        try:
            value = self._watcher.sealer.open(REPLAY, name, token) if token else None
        except ValueError:
            return None
        return (value[0], value[1]) if isinstance(value, list) else None

    async def _replay(
        self, view: Look, feed: Feed, name: str, position: tuple[int, int]
    ) -> AsyncIterator[Batch[Change]]:
        """Yields every record that exists as created; the last token leads to what has changed since."""
        start, after = position
        while True:
            rows = await view.rows(replace(view.selector, after_id=after))
            records = await self._reading.to_records(view.view, rows)
            changes = (_existing(feed, one) for one, _ in records.values())
            *parts, last = list(messages(changes, self._size)) or [[]]
            for part in parts:
                yield Batch(part, self._watcher.sealer.seal(REPLAY, name, [start, part[-1].record.id]))
            if len(rows) < PAGE:
                yield Batch(last, self._watcher.sealer.seal("watch", name, start))
                return
            after = rows[-1].id
            yield Batch(last, self._watcher.sealer.seal(REPLAY, name, [start, after]))


def _uid(tenant: str, connection_uid: str, epoch: int, identity: str, spec: FeedSpec) -> str:
    told = [tenant, epoch, identity, spec.model, spec.filter, spec.domain, sorted(spec.watched), sorted(spec.extra)]
    return derive(connection_uid, f"watch/{key_of(told)}")


def _encoded(principal: Principal, tenant: str) -> str:
    return encode_principal(replace(principal.on_behalf_of or principal, tenant=tenant))


def _existing(feed: Feed, record: Record) -> Change:
    told = replace(record, source=None)
    return Change(
        change_id=derive(f"{feed.connection_uid}/{told.model}/{told.id}", f"replay/{told.update_time}/{told.etag}"),
        action=Action.CREATED,
        connection=feed.connection_name,
        record=told,
        changes=tuple(
            FieldChange(name, None, value, had=False)
            for name, value in told.values.items()
            if name in feed.spec.watched and value not in (None, [], "")
        ),
        detection=Detection.REPLAY,
        observe_time=time.time(),
        correlation_id=new_id(),
        first_seen=True,
    )
