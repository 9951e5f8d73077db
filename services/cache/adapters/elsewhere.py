"""A metadata backend that is not beside the catalogue: before each step the catalogue is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Protocol, TypeVar

from sutler.idempotency import Once
from sutler.tails import Log, Signal

from services.cache.accesses import Access
from services.cache.caches import Cache, Usage
from services.cache.changes import Row
from services.cache.entries import Blob, Entry
from services.cache.faults import CacheMovedError
from services.cache.listing import Query
from services.cache.ports import Catalogue, MetadataBackend
from services.cache.results import Changed, Found, Listed, Swept, Unreadable, Version
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Invalidation, Scope

T = TypeVar("T")


class Copies(Protocol):
    """What a backend that checks caches itself knows of them."""

    async def copy(self, cache: Cache) -> None:
        """Has the backend know a cache as it is now."""
        ...

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache."""
        ...


class Elsewhere:
    """Asks the catalogue whether a cache is still what the caller knows, then the backend.

    A step that is under way when a cache changes still follows the old rules; one that is under way when a cache is
    deleted leaves entries that are removed with the others. See :class:`services.cache.ports.MetadataBackend`.

    Args:
        backend: Where the entries are.
        catalogue: Where the caches are.
        copies: For a backend that checks caches itself: what it knows of them, mended when it refuses one.
    """

    def __init__(self, backend: MetadataBackend, catalogue: Catalogue, copies: Copies | None = None) -> None:
        self._backend = backend
        self._catalogue = catalogue
        self._copies = copies

    @property
    def changes(self) -> Signal:
        """Wakes those who wait for changes."""
        return self._backend.changes

    async def get(self, cache: Cache, key: str, *, value: bool, lease: bool = False) -> Found:
        """Returns what stands under a key."""
        return await self._on(cache, lambda: self._backend.get(cache, key, value=value, lease=lease))

    async def get_many(self, cache: Cache, keys: Sequence[str], *, value: bool) -> tuple[Mapping[str, Entry], float]:
        """Returns what stands under several keys."""
        return await self._on(cache, lambda: self._backend.get_many(cache, keys, value=value))

    async def version(self, cache: Cache) -> Version | None:
        """Returns how far the changes of a cache's entries have come, if that is known."""
        return await self._on(cache, lambda: self._backend.version(cache))

    async def change(self, cache: Cache, rows: Sequence[Row], once: Once | None = None) -> Changed:
        """Makes changes in one step."""
        return await self._on(cache, lambda: self._backend.change(cache, rows, once))

    async def page(self, cache: Cache, query: Query) -> Listed:
        """Returns one page of entries."""
        return await self._on(cache, lambda: self._backend.page(cache, query))

    async def select(self, cache: Cache, selector: Selector, after: str, limit: int, *, living: bool) -> Sequence[Mark]:
        """Returns entries that an invalidation means."""
        return await self._on(cache, lambda: self._backend.select(cache, selector, after, limit, living=living))

    async def discard(
        self, cache: Cache, marks: Sequence[Mark], *, expire_only: bool, cause: Cause | None = None
    ) -> int:
        """Removes selected entries, or lets them expire."""
        return await self._on(cache, lambda: self._backend.discard(cache, marks, expire_only=expire_only, cause=cause))

    async def announce(
        self,
        cache: Cache,
        scopes: Sequence[tuple[Scope, str]],
        cause: Cause,
        *,
        ending: Selector | None = None,
        once: Once | None = None,
        result: object = None,
    ) -> None:
        """Tells followers what to forget, ends leases, and remembers the answer to a request."""
        await self._on(
            cache,
            lambda: self._backend.announce(cache, scopes, cause, ending=ending, once=once, result=result),
        )

    async def follow(self, cache: Cache) -> None:
        """Has changes of the cache told for the next minute."""
        await self._on(cache, lambda: self._backend.follow(cache))

    def feed(self, cache: Cache) -> Log[Invalidation]:
        """Returns what followers of a cache are told."""
        return _Feed(self._backend.feed(cache), lambda work: self._on(cache, work))

    async def inspect(self, cache: Cache, after: str, limit: int) -> Sequence[Entry | Unreadable]:
        """Returns entries with their values."""
        return await self._on(cache, lambda: self._backend.inspect(cache, after, limit))

    async def recount(self, cache: Cache, *, repair: bool) -> Sequence[str]:
        """Compares the usage and the tags that are kept with the entries."""
        return await self._on(cache, lambda: self._backend.recount(cache, repair=repair))

    async def data_types(self, tenant: str) -> Mapping[str, int]:
        """Returns how many entries of a tenant have each data type."""
        return await self._backend.data_types(tenant)

    async def record(self, accesses: Sequence[Access]) -> None:
        """Adds accesses to their entries."""
        await self._backend.record(accesses)

    async def blob(self, cache: Cache, sha256: str) -> Blob | None:
        """Returns a blob of the tenant."""
        return await self._backend.blob(cache, sha256)

    async def usage(self, cache: Cache) -> Usage:
        """Returns what a cache takes."""
        return await self._backend.usage(cache)

    async def evict(self, cache: Cache) -> Swept:
        """Removes entries of a cache that is over a limit."""
        return await self._on(cache, lambda: self._backend.evict(cache))

    async def expire(self) -> Swept:
        """Removes what is over."""
        return await self._backend.expire()

    async def drop(self, space: int) -> bool:
        """Removes entries of a deleted cache."""
        return await self._backend.drop(space)

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache."""
        await self._backend.forget(space)
        if self._copies is not None:
            await self._copies.forget(space)

    async def garbage(self, limit: int) -> list[tuple[str, str]]:
        """Returns blobs that nobody refers to."""
        return await self._backend.garbage(limit)

    async def collected(self, locators: Sequence[str]) -> None:
        """Forgets blobs that were removed."""
        await self._backend.collected(locators)

    async def known(self, locators: Sequence[str]) -> set[str]:
        """Returns which locators are in use."""
        return await self._backend.known(locators)

    async def health(self) -> None:
        """Returns if the backend answers."""
        await self._backend.health()

    async def _on(self, cache: Cache, work: Callable[[], Awaitable[T]]) -> T:
        found = await self._catalogue.get(cache.tenant, cache.id)
        if found is None or (found.space, found.revision) != (cache.space, cache.revision):
            raise CacheMovedError
        try:
            return await work()
        except CacheMovedError:
            if self._copies is None:
                raise
            await self._copies.copy(found)
            return await work()


class _Feed:
    """A feed that ends when its cache is changed or deleted. See :class:`sutler.tails.Log`."""

    def __init__(self, feed: Log[Invalidation], on: Callable[..., Awaitable[object]]) -> None:
        self._feed = feed
        self._on = on

    @property
    def identity(self) -> Hashable:
        """Says which feed it is."""
        return self._feed.identity

    async def bounds(self) -> tuple[int, int]:
        """Returns the number after which all is kept, and the last one."""
        return await self._on(self._feed.bounds)  # type: ignore[return-value]

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, Invalidation]]:
        """Returns what was told after a number."""
        return await self._on(lambda: self._feed.after(position, limit))  # type: ignore[return-value]

    def size(self, change: Invalidation) -> int:
        """Returns about how many bytes one thing takes."""
        return self._feed.size(change)
