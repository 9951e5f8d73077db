"""The work behind WatchInvalidations: what near caches are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog
from sutler.errors import OutOfRange, SutlerError
from sutler.tails import Log
from sutler.watch import Watcher, token_invalid

from services.cache.caches import Cache
from services.cache.faults import CacheMovedError, cache_not_found
from services.cache.gauges import Gauges
from services.cache.listing import invalidation_item
from services.cache.ports import MetadataBackend
from services.cache.reach import Reach
from services.cache.telling import Cause, Invalidation, Scope

log = structlog.get_logger("sutler.cache")

RENEW_SECONDS = 20.0
"""How often a watch says that its cache is followed; it counts as followed for a minute."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What somebody watches.

    Attributes:
        cache: The name of the cache.
        filter: The filter as it was written.
        passes: Whether the filter lets an item of :func:`services.cache.listing.invalidation_item` pass.
    """

    cache: str
    filter: str
    passes: Callable[[Mapping[str, Any]], bool]

    def see(self, told: Invalidation) -> Invalidation | None:
        """Returns what the watch sees of something told: keys that pass, and all that is more than a key."""
        if told.scope is not Scope.KEY or not self.filter:
            return told
        return told if self.passes(invalidation_item(told)) else None


@dataclass(frozen=True, slots=True)
class Told:
    """What one message of a watch says.

    Attributes:
        invalidations: What to forget, in order; none in a mere sign of life.
        resume_token: Resuming from it gives everything after this message.
        reset: Whether something may be missing before this message.
    """

    invalidations: Sequence[Invalidation]
    resume_token: str
    reset: bool


class Watches:
    """Watches caches.

    Args:
        reach: Finds caches.
        watcher: Follows feeds.
        gauges: Knows how many watches are open.
    """

    def __init__(self, reach: Reach, watcher: Watcher, gauges: Gauges) -> None:
        self._reach = reach
        self._watcher = watcher
        self._gauges = gauges

    async def follow(self, tenant: str, watch: Watch, resume_token: str) -> AsyncIterator[Told]:
        """Yields what to forget, for ever; the first at once.

        When the cache changes, all is to be forgotten. Where the feed was lost for a while, the watch goes on with
        ``reset``.

        Raises:
            NotFound: If there is no such cache, also when it is deleted (CACHE_NOT_FOUND).
            SutlerError: As :meth:`sutler.watch.Watcher.watch`.
        """
        uid, token, reset = "", resume_token, not resume_token
        while True:
            cache, backend = await self._reach.on(tenant, watch.cache, _followed)
            if uid and uid != cache.uid:
                raise cache_not_found(watch.cache)
            uid = cache.uid
            try:
                with self._gauges.watching(cache.space):
                    async with _kept_followed(cache, backend):
                        async for told in self._stage(cache, backend, watch, token, reset):
                            yield told
                            token, reset = told.resume_token, False
            except CacheMovedError:
                continue
            except _FeedLostError:
                token, reset = "", True

    async def _stage(
        self, cache: Cache, backend: MetadataBackend, watch: Watch, resume_token: str, reset: bool
    ) -> AsyncIterator[Told]:
        """Yields what to forget as long as the cache does not change.

        A token tells the revision of the cache, so that whoever resumes after a change of it is told of that.
        """
        name = _name(cache, cache.revision, watch)
        inner, first = self._begin(cache, watch, resume_token)
        feed, begun = backend.feed(cache), False
        batches = self._watcher.watch(feed, backend.changes, name=name, resume_token=inner, see=watch.see)
        async for batch in batches:
            if begun and not batch.changes:
                await self._check_kept(feed, name, batch.resume_token)
            yield Told([*first, *batch.changes], f"{cache.revision}.{batch.resume_token}", reset and not begun)
            first, begun = [], True

    def _begin(self, cache: Cache, watch: Watch, resume_token: str) -> tuple[str, list[Invalidation]]:
        """Returns the token for the feed, and what is to be forgotten first."""
        if not resume_token:
            return "", []
        revision, _, inner = resume_token.partition(".")
        if not (revision.isascii() and revision.isdigit()):
            raise token_invalid()
        position = self._watcher.position(_name(cache, int(revision), watch), inner)
        inner = self._watcher.token(_name(cache, cache.revision, watch), position)
        if int(revision) == cache.revision:
            return inner, []
        return inner, [Invalidation(Scope.ALL, "", Cause.CACHE, cache.update_time)]

    async def _check_kept(self, feed: Log[Invalidation], name: str, token: str) -> None:
        """Checks that the feed still reaches back to where a watch is, which has nothing to tell for some seconds."""
        try:
            await self._watcher.check(feed, name, self._watcher.position(name, token))
        except OutOfRange as lost:
            raise _FeedLostError from lost


class _FeedLostError(Exception):
    """The feed was not kept for a while, because nobody said in time that it is followed."""


def _name(cache: Cache, revision: int, watch: Watch) -> str:
    """Returns what tells a watch from others, for its tokens."""
    return "\0".join(("invalidations", cache.tenant, cache.uid, str(revision), watch.filter))


async def _followed(cache: Cache, backend: MetadataBackend) -> tuple[Cache, MetadataBackend]:
    await backend.follow(cache)
    return cache, backend


@asynccontextmanager
async def _kept_followed(cache: Cache, backend: MetadataBackend) -> AsyncIterator[None]:
    """Says again and again that a cache is followed, while the block lasts."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                await backend.follow(cache)
            except CacheMovedError:
                return
            except SutlerError as error:
                log.warning("cache.follow_failed", cache=cache.name, error=str(error))

    renewing = asyncio.create_task(renew())
    try:
        yield
    finally:
        renewing.cancel()
