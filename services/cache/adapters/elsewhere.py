"""A metadata backend that is not beside the catalogue: before each step the catalogue is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping, Sequence
from typing import TypeVar

from sutler.idempotency import Once
from sutler.tails import Log, Signal

from services.cache.accesses import Access
from services.cache.adapters.opening import Opening
from services.cache.caches import Cache, Usage
from services.cache.changes import Row
from services.cache.entries import Blob, Entry, Unreadable
from services.cache.faults import CacheMovedError
from services.cache.listing import Query
from services.cache.ports import Catalogue, MetadataBackend
from services.cache.results import Changed, Discarded, Found, Listed, Swept, Version
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Invalidation, Scope

T = TypeVar("T")


class Elsewhere:
    """Asks the catalogue whether a cache is still what the caller knows, then the backend.

    A step that is under way when a cache changes still follows the old rules; one that is under way when a cache is
    deleted leaves entries that are removed with the others. See :class:`services.cache.ports.MetadataBackend`.

    Args:
        opening: Where the entries are, once it is open.
        catalogue: Where the caches are.
    """

    def __init__(self, opening: Opening, catalogue: Catalogue) -> None:
        self._opening = opening
        self._catalogue = catalogue

    @property
    def changes(self) -> Signal:
        """Wakes those who wait for changes, once the backend is open."""
        return self._opening.now.backend.changes

    async def get(self, cache: Cache, key: str, *, value: bool, lease: bool = False) -> Found:
        """Returns what stands under a key."""
        return await self._on(cache, lambda backend: backend.get(cache, key, value=value, lease=lease))

    async def get_many(
        self, cache: Cache, keys: Sequence[str], *, value: bool
    ) -> tuple[Mapping[str, Entry | Unreadable], float]:
        """Returns what stands under several keys."""
        return await self._on(cache, lambda backend: backend.get_many(cache, keys, value=value))

    async def version(self, cache: Cache) -> Version | None:
        """Returns how far the changes of a cache's entries have come, if that is known."""
        return await self._on(cache, lambda backend: backend.version(cache))

    async def change(self, cache: Cache, rows: Sequence[Row], once: Once | None = None) -> Changed:
        """Makes changes in one step."""
        return await self._on(cache, lambda backend: backend.change(cache, rows, once))

    async def page(self, cache: Cache, query: Query) -> Listed:
        """Returns one page of entries."""
        return await self._on(cache, lambda backend: backend.page(cache, query))

    async def select(self, cache: Cache, selector: Selector, after: str, limit: int, *, living: bool) -> Sequence[Mark]:
        """Returns entries that an invalidation means."""
        return await self._on(cache, lambda backend: backend.select(cache, selector, after, limit, living=living))

    async def discard(
        self, cache: Cache, marks: Sequence[Mark], *, expire_only: bool, cause: Cause | None = None
    ) -> Discarded:
        """Removes selected entries, or lets them expire."""
        return await self._on(
            cache, lambda backend: backend.discard(cache, marks, expire_only=expire_only, cause=cause)
        )

    async def announce(
        self,
        cache: Cache,
        scopes: Sequence[tuple[Scope, str]],
        cause: Cause,
        *,
        ending: Selector | None = None,
        once: Once | None = None,
        result: object = None,
    ) -> int:
        """Tells followers what to forget, ends leases, and remembers the answer to a request."""
        return await self._on(
            cache,
            lambda backend: backend.announce(cache, scopes, cause, ending=ending, once=once, result=result),
        )

    async def follow(self, cache: Cache) -> None:
        """Has changes of the cache told for the next minute."""
        await self._on(cache, lambda backend: backend.follow(cache))

    def feed(self, cache: Cache) -> Log[Invalidation]:
        """Returns what followers of a cache are told."""
        return _Feed(self._opening.now.backend.feed(cache), lambda work: self._on(cache, lambda _: work()))

    async def inspect(self, cache: Cache, after: str, limit: int) -> Sequence[Entry | Unreadable]:
        """Returns entries with their values."""
        return await self._on(cache, lambda backend: backend.inspect(cache, after, limit))

    async def recount(self, cache: Cache, *, repair: bool) -> Sequence[str]:
        """Compares the usage and the tags that are kept with the entries."""
        return await self._on(cache, lambda backend: backend.recount(cache, repair=repair))

    async def data_types(self, tenant: str, gone: Collection[int]) -> Mapping[str, int]:
        """Returns how many entries of a tenant have each data type."""
        return await (await self._open()).data_types(tenant, gone)

    async def record(self, accesses: Sequence[Access]) -> None:
        """Adds accesses to their entries."""
        await (await self._open()).record(accesses)

    async def blob(self, cache: Cache, sha256: str) -> Blob | None:
        """Returns a blob of the tenant."""
        return await (await self._open()).blob(cache, sha256)

    async def usage(self, cache: Cache) -> Usage:
        """Returns what a cache takes."""
        return await (await self._open()).usage(cache)

    async def evict(self, cache: Cache) -> Swept:
        """Removes entries of a cache that is over a limit."""
        return await self._on(cache, lambda backend: backend.evict(cache))

    async def expire(self) -> Swept:
        """Removes what is over."""
        return await (await self._open()).expire()

    async def drop(self, space: int) -> bool:
        """Removes entries of a deleted cache."""
        return await (await self._open()).drop(space)

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache."""
        opened = await self._opening.get()
        await opened.backend.forget(space)
        if opened.forget is not None:
            await opened.forget(space)

    async def garbage(self, blob_backend: str, limit: int) -> Sequence[str]:
        """Returns blobs that nobody refers to."""
        return await (await self._open()).garbage(blob_backend, limit)

    async def collected(self, locators: Sequence[str]) -> None:
        """Forgets blobs that were removed."""
        await (await self._open()).collected(locators)

    async def known(self, locators: Sequence[str]) -> set[str]:
        """Returns which locators are in use."""
        return await (await self._open()).known(locators)

    async def moved(self, cache: Cache) -> None:
        """Has those who wait look anew: a backend that checks caches itself is told what became of the cache."""
        opened = await self._opening.get()
        if opened.copy is None or opened.forget is None:
            await opened.backend.moved(cache)
            return
        found = await self._catalogue.get(cache.tenant, cache.id)
        if found is not None and found.space == cache.space:
            await opened.copy(found)
        else:
            await opened.forget(cache.space)

    async def health(self) -> None:
        """Returns if the backend answers."""
        await (await self._open()).health()

    async def _open(self) -> MetadataBackend:
        return (await self._opening.get()).backend

    async def _on(self, cache: Cache, work: Callable[[MetadataBackend], Awaitable[T]]) -> T:
        opened = await self._opening.get()
        found = await self._catalogue.get(cache.tenant, cache.id)
        if found is None or (found.space, found.revision) != (cache.space, cache.revision):
            raise CacheMovedError
        try:
            return await work(opened.backend)
        except CacheMovedError:
            if opened.copy is None:
                raise
            await opened.copy(found)
            return await work(opened.backend)


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
