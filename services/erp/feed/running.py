"""Runs all feeds, in the one process that holds the lease: each polls in its own rhythm."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from sutler.context import Call, set_current
from sutler.errors import SutlerError
from sutler.status import to_status
from sutler.store.holding import Lease

from services.erp.caching import Answers
from services.erp.feed import faults
from services.erp.feed.looking import identity, look, principal_of, timing
from services.erp.feed.model import Feed, Kind, Phase
from services.erp.feed.polling import Poller
from services.erp.feed.vanishing import DOMAIN
from services.erp.links import Links
from services.erp.ports import FeedStore, SubscriptionStore
from services.erp.reading import Reading

log = structlog.get_logger("erp.feed")

IDLE_SECONDS = 5.0
SETTLE_SECONDS = 0.01
"""How long the runner rests after it was woken: commits come in bursts."""

LONGEST_PAUSE_SECONDS = 10.0
GONE = "FEED_CHANGED"


@dataclass(slots=True)
class _Following:
    """A feed that is being followed.

    Attributes:
        feed: As it was when that began.
        task: Follows it.
        wake: Set when something was written through the gateway.
    """

    feed: Feed
    task: asyncio.Task[None]
    wake: asyncio.Event = field(default_factory=asyncio.Event)


class FeedRunner:
    """Follows every feed there is.

    Args:
        store: Where feeds are stored.
        subscriptions: Whom they are for.
        links: Opens connections.
        reading: Makes records.
        answers: The cache, which drops what has changed.
        poll_seconds: The pause between two polls where a connection says nothing else.
        hold_seconds: For how long records that went all at once are not told as deleted.
    """

    def __init__(
        self,
        store: FeedStore,
        subscriptions: SubscriptionStore,
        links: Links,
        reading: Reading,
        answers: Answers,
        poll_seconds: float,
        hold_seconds: float,
    ) -> None:
        self._store = store
        self._subscriptions = subscriptions
        self._links = links
        self._reading = reading
        self._answers = answers
        self._poll_seconds = poll_seconds
        self._hold_seconds = hold_seconds

    async def work(self, lease: Lease) -> None:
        """Follows feeds until it is cancelled; for :func:`sutler.store.holding.lead`."""
        following: dict[str, _Following] = {}
        touch, version, looked = 0, -1, 0.0
        try:
            while True:
                seen = self._store.signal.generation
                current = await self._store.version()
                if current != version or time.monotonic() - looked >= IDLE_SECONDS or _ended(following):
                    version, looked = current, time.monotonic()
                    self._adjust(following, await self._store.to_follow(), lease)
                latest = await self._store.latest_touch()
                if latest != touch:
                    touch = latest
                    for one in following.values():
                        one.wake.set()
                await self._store.signal.wait(IDLE_SECONDS, seen)
                await asyncio.sleep(SETTLE_SECONDS)
        finally:
            for one in following.values():
                one.task.cancel()
            await asyncio.gather(*(one.task for one in following.values()), return_exceptions=True)

    def _adjust(self, following: dict[str, _Following], feeds: list[Feed], lease: Lease) -> None:
        """Begins with new feeds and changed ones, and leaves those that went."""
        wanted = {feed.uid: feed for feed in feeds}
        for uid in [uid for uid, one in following.items() if one.task.done() or _other(one, wanted.get(uid))]:
            following.pop(uid).task.cancel()
        for uid, feed in wanted.items():
            if uid not in following:
                wake = asyncio.Event()
                task = asyncio.create_task(self._follow(feed, wake, lease), name=f"feed {uid}")
                following[uid] = _Following(feed, task, wake)

    async def _follow(self, feed: Feed, wake: asyncio.Event, lease: Lease) -> None:
        """Polls one feed for ever; ends when it has changed or gone, or the lease is lost."""
        set_current(Call("feed", principal_of(feed.principal), feed.tenant))
        poller = Poller(feed, self._store, self._reading, self._answers, lease.fence, self._hold_seconds)
        due, failures, told = time.monotonic(), 0, ""
        while True:
            wake.clear()
            began = time.monotonic()
            try:
                pause = await self._once(poller, full=began >= due)
                if (failures or feed.error) and began >= due:
                    await self._store.failed(poller.feed, b"", lease.fence)
                    feed, failures, told = poller.feed, 0, ""
            except SutlerError as error:
                if error.reason in (GONE, "LEASE_LOST"):
                    return
                failures += 1
                pause = _longer(self._poll_seconds, failures)
                if error.reason != told:
                    told = error.reason
                    await self._tell(poller.feed, error, lease)
            except Exception:
                log.exception("feed failed", feed=feed.uid)
                failures += 1
                pause = LONGEST_PAUSE_SECONDS
            due = began + pause if failures or began >= due else due
            await _rest(wake, due - time.monotonic())

    async def _once(self, poller: Poller, *, full: bool) -> float:
        """Reads a feed once, all of it or only what was written through the gateway; returns the pause after it."""
        feed = poller.feed
        subscription = await self._subscriptions.of_feed(feed)
        link = await self._links.find(feed.tenant, feed.connection)
        if link.connection.spec.disabled or (subscription is not None and subscription.spec.disabled):
            return IDLE_SECONDS
        times = timing(link.connection.spec.feed_policy, self._poll_seconds)
        began = time.monotonic()
        principal = principal_of(feed.principal)
        if feed.kind is Kind.WATCH and identity(link, principal) != feed.cursor.identity:
            raise faults.erp_user_changed(link.name, principal.actor)
        with link.catalogue.doubted(feed.spec.model):
            poller.aim(await look(link, self._reading, feed, principal), subscription, times)
            await poller.recognise()
            await poller.touched()
            if full:
                await poller.open_window()
                if poller.feed.cursor.phase is Phase.BASELINE:
                    await poller.baseline(began + times.poll)
                await poller.closed_window()
                await poller.reconcile(began + times.poll)
        return times.poll

    async def _tell(self, feed: Feed, error: SutlerError, lease: Lease) -> None:
        log.warning("feed failing", feed=feed.uid, connection=feed.connection, reason=error.reason)
        with suppress(SutlerError):
            await self._store.failed(feed, to_status(error, DOMAIN).SerializeToString(), lease.fence)


def _longer(pause: float, failures: int) -> float:
    return min(LONGEST_PAUSE_SECONDS, pause * 2.0 ** min(failures - 1, 8)) * random.uniform(0.75, 1.0)


def _ended(following: dict[str, _Following]) -> bool:
    return any(one.task.done() for one in following.values())


def _other(one: _Following, feed: Feed | None) -> bool:
    return feed is None or (feed.revision, feed.epoch) != (one.feed.revision, one.feed.epoch)


async def _rest(wake: asyncio.Event, seconds: float) -> None:
    """Waits until it is time, or something was written through the gateway."""
    if seconds <= 0:
        await asyncio.sleep(0)
        return
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return
