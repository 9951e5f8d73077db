"""What the cache needs from outside: a catalogue of caches, metadata backends and blob backends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sutler.idempotency import Once

from services.cache.accesses import Access
from services.cache.caches import Cache, Usage
from services.cache.changes import Draft, Row
from services.cache.entries import Blob, Entry
from services.cache.listing import Query
from services.cache.results import Changed, Deletion, Dropped, Found, Listed
from services.cache.selectors import Mark, Selector


class Catalogue(Protocol):
    """The caches themselves. Every method raises Unavailable if the store does not answer."""

    def recall(self, tenant: str, cache_id: str) -> Cache | None:
        """Returns a cache as it was known last, without looking: maybe changed or deleted since; None if unknown."""
        ...

    async def get(self, tenant: str, cache_id: str) -> Cache | None:
        """Returns a cache as it is now."""
        ...

    async def page(self, tenant: str, query: Query) -> list[Cache]:
        """Returns caches of a tenant, one more than the limit if there are more."""
        ...

    async def after(self, space: int, limit: int) -> list[Cache]:
        """Returns caches of all tenants whose number is greater than ``space``, by number."""
        ...

    async def create(self, cache: Cache, once: Once | None, *, validate_only: bool) -> Cache:
        """Stores a new cache.

        Raises:
            AlreadyExists: If the tenant has one whose id differs in ASCII case at most.
        """
        ...

    async def change(
        self,
        tenant: str,
        cache_id: str,
        decide: Callable[[Cache | None], Cache],
        once: Once | None,
        *,
        validate_only: bool,
    ) -> Cache:
        """Stores what ``decide`` makes of a cache, or of None; it may be called again, and what it raises is raised."""
        ...

    async def delete(self, deletion: Deletion, once: Once | None, *, validate_only: bool) -> None:
        """Deletes a cache; its entries are out of reach from now on, and are removed later.

        Raises:
            NotFound: If there is none, unless that is allowed.
            Conflict: If it has another etag.
            FailedPrecondition: If it has living entries in the service's own database and ``force`` is not set.
        """
        ...

    async def dropped(self, limit: int) -> list[Dropped]:
        """Returns caches that were deleted."""
        ...

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache for good."""
        ...


class MetadataBackend(Protocol):
    """Where entries are kept, with their small values.

    Every method raises Unavailable if the backend does not answer, and those that take a cache raise CacheMovedError
    if it was changed or deleted since it was read. A backend that cannot know asks the catalogue first.
    """

    async def get(self, cache: Cache, key: str, *, value: bool) -> Found:
        """Returns what stands under a key; with its value, if it is not in a blob and ``value`` is set."""
        ...

    async def get_many(self, cache: Cache, keys: Sequence[str], *, value: bool) -> tuple[Mapping[str, Entry], float]:
        """Returns what stands under up to 25 keys, and the time."""
        ...

    async def change(self, cache: Cache, rows: Sequence[Row], once: Once | None = None) -> Changed:
        """Makes changes in one durable step, in order; each sees what those before it left.

        A row that refuses changes nothing and stops no other. With ``once`` there is one row, whose entry is
        remembered as the answer.

        Raises:
            BlobGoneError: If the blob of a draft is not there any more; nothing has changed then.
        """
        ...

    async def page(self, cache: Cache, query: Query) -> Listed:
        """Returns living entries without their values; fewer than the limit, but at least one, if they are large."""
        ...

    async def select(self, cache: Cache, selector: Selector, after: str, limit: int, *, living: bool) -> Sequence[Mark]:
        """Returns entries that are meant, only ``living`` ones or all, whose key is greater than ``after``, by key."""
        ...

    async def discard(self, cache: Cache, marks: Sequence[Mark], *, expire_only: bool) -> int:
        """Removes selected entries, or lets them expire now, unless they were put anew; returns how many lived."""
        ...

    async def remember(self, once: Once | None, result: object) -> None:
        """Remembers the answer to a request whose changes are made."""
        ...

    async def record(self, accesses: Sequence[Access]) -> None:
        """Adds accesses to the entries that were accessed."""
        ...

    async def blob(self, cache: Cache, sha256: str) -> Blob | None:
        """Returns a blob that the tenant has in the cache's blob backend."""
        ...

    async def usage(self, cache: Cache) -> Usage:
        """Returns what a cache takes."""
        ...

    async def evict(self, cache: Cache) -> bool:
        """Removes some of the entries that were not used for the longest time, as far as the limits demand.

        Returns:
            Whether there is more to do.
        """
        ...

    async def expire(self) -> bool:
        """Removes some of the entries whose time, and retention, is over; returns whether there is more to do."""
        ...

    async def drop(self, space: int) -> bool:
        """Removes some entries of a deleted cache; returns whether there is more to do."""
        ...

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache that has no entries any more."""
        ...

    async def garbage(self, limit: int) -> list[tuple[str, str]]:
        """Returns blob backend and locator of blobs that nobody has referred to for some seconds."""
        ...

    async def collected(self, locators: Sequence[str]) -> None:
        """Notes that these were removed from their backends."""
        ...

    async def known(self, locators: Sequence[str]) -> set[str]:
        """Returns which of these locators an entry, or the list of garbage, refers to."""
        ...

    async def health(self) -> None:
        """Returns if the backend answers; raises Unavailable or DataLoss if not."""
        ...


class BlobWriter(Protocol):
    """Takes one blob, piece by piece."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far, as 64 hexadecimal digits."""
        ...

    async def write(self, data: bytes) -> None:
        """Takes the next bytes.

        Raises:
            Exhausted: If there is no room (STORAGE_FULL).
            Unavailable: If the backend does not answer.
        """
        ...

    async def finish(self) -> Draft:
        """Makes the blob durable and returns it. Raises as :meth:`write`."""
        ...


class BlobBackend(Protocol):
    """Where the bytes of large values are. A locator is used for one blob only, so nobody waits for anybody."""

    async def store(self, tenant: str, value: bytes) -> Draft:
        """Makes a blob durable. Raises as :meth:`BlobWriter.write`."""
        ...

    def writer(self, tenant: str) -> AbstractAsyncContextManager[BlobWriter]:
        """Opens a new blob; what is not finished when the block ends leaves nothing behind."""
        ...

    async def load(self, blob: Blob) -> bytes:
        """Returns all bytes of a blob of at most 1 MiB.

        Raises:
            DamagedError: If they are missing or not what was stored.
            Unavailable: If the backend does not answer.
        """
        ...

    def read(self, blob: Blob, offset: int, limit: int) -> AsyncIterator[bytes]:
        """Yields bytes in chunks of at most 1 MiB, each checked; all from ``offset`` if ``limit`` is 0.

        What was begun can be read to its end, also if the blob is deleted meanwhile. Raises as :meth:`load`.
        """
        ...

    async def delete(self, locator: str) -> None:
        """Removes a blob; one that is gone already is no error."""
        ...

    def old(self) -> AsyncIterator[Sequence[str]]:
        """Yields the locators of all blobs that are old enough to be orphans, in groups of at most 500."""
        ...

    async def tidy(self) -> None:
        """Removes what writers left behind that died before they finished."""
        ...

    async def health(self) -> None:
        """Returns if the backend can be used; raises Unavailable if not."""
        ...
