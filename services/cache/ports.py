"""What the cache needs from outside: a catalogue of caches, metadata backends and blob backends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sutler.errors import SutlerError
from sutler.events import Event
from sutler.idempotency import Once
from sutler.operations import Operation, State
from sutler.tails import Log, Signal

from services.cache.accesses import Access
from services.cache.caches import Cache, Compression, Usage
from services.cache.changes import Draft, Row
from services.cache.counting import Count, Counted
from services.cache.entries import Blob, Entry, Unreadable
from services.cache.gauges import Gauge
from services.cache.listing import Query
from services.cache.problems import Report, Run
from services.cache.results import Changed, Deletion, Discarded, Dropped, Found, Listed, Swept, Version
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Invalidation, Scope


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

    async def delete(
        self,
        deletion: Deletion,
        once: Once | None,
        *,
        validate_only: bool,
        event: Callable[[Cache], Event] | None = None,
    ) -> None:
        """Deletes a cache; its entries are out of reach from now on, and are removed later.

        With ``event``, what it makes of the cache is told, in the same step.

        Raises:
            NotFound: If there is none, unless that is allowed.
            Conflict: If it has another etag.
            FailedPrecondition: If it has living entries in the service's own database and ``force`` is not set.
        """
        ...

    async def dropped(self, limit: int) -> list[Dropped]:
        """Returns caches that were deleted."""
        ...

    async def gone(self, tenant: str) -> Sequence[int]:
        """Returns the numbers of all caches of a tenant that were deleted, and are not forgotten yet."""
        ...

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache for good."""
        ...


class Tallies(Protocol):
    """What all processes count, and what goes on in them.

    Every method raises Unavailable if the store does not answer.
    """

    async def report(self, process: str, counted: Counted, gauges: Mapping[int, Gauge]) -> None:
        """Adds what a process counted since its last report, and says what goes on in it now, by number of cache."""
        ...

    async def read(self, space: int) -> tuple[Mapping[Count, int], Gauge]:
        """Returns the counters of a cache, and what goes on in it in all processes that reported within 5 s."""
        ...


class Verifications(Protocol):
    """Runs of VerifyCache, as operations. Every method raises Unavailable if the store does not answer."""

    async def begin(self, cache: Cache, creator: str, run: Run, once: Once | None) -> Operation:
        """Stores a new run.

        Raises:
            Conflict: If another one verifies the cache (OPERATION_IN_PROGRESS).
        """
        ...

    async def save(self, operation: Operation, run: Run, percent: int, step: str) -> None:
        """Notes how far a run is.

        Raises:
            Conflict: If another process goes on with it (LEASE_LOST).
        """
        ...

    async def end(
        self, operation: Operation, state: State, *, report: Report | None = None, error: SutlerError | None = None
    ) -> None:
        """Ends a run: with a report, with an error, or with neither if it was cancelled. Raises as :meth:`save`."""
        ...


class Outbox(Protocol):
    """Where events wait to be told."""

    async def post(self, event: Event) -> None:
        """Stores an event behind those that wait. Raises Unavailable if the store does not answer."""
        ...


class MetadataBackend(Protocol):
    """Where entries are kept, with their small values.

    Every method raises Unavailable if the backend does not answer, and those that take a cache raise CacheMovedError
    if it was changed or deleted since it was read. A backend that cannot know asks the catalogue first.
    """

    async def get(self, cache: Cache, key: str, *, value: bool, lease: bool = False) -> Found:
        """Returns what stands under a key, as of one moment.

        Args:
            cache: The cache.
            key: Which.
            value: Whether to bring the value, if it is not in a blob.
            lease: Whether to bring the lease of the key.
        """
        ...

    async def get_many(
        self, cache: Cache, keys: Sequence[str], *, value: bool
    ) -> tuple[Mapping[str, Entry | Unreadable], float]:
        """Returns what stands under up to 25 keys, readable or not, and the time."""
        ...

    async def version(self, cache: Cache) -> Version | None:
        """Returns how far the changes of a cache's entries have come; None if the backend does not number them."""
        ...

    async def change(self, cache: Cache, rows: Sequence[Row], once: Once | None = None) -> Changed:
        """Makes changes in one durable step, in order; each sees what those before it left.

        A row that refuses changes nothing and stops no other. With ``once`` there is one row, whose entry is
        remembered as the answer. Where an entry is stored or removed, a lease of its key ends; followers are told of
        that, and of lives that get shorter. What cannot be read goes too, with what is kept beside it as far as that
        is known; the rest is for :meth:`recount`.

        Raises:
            RequestRepeated: If ``once`` was answered before; nothing has changed then.
            BlobGoneError: If the blob of a draft is not there any more; nothing has changed then.
        """
        ...

    async def page(self, cache: Cache, query: Query) -> Listed:
        """Returns living entries that can be read, without their values; fewer than the limit, but at least one, if
        they are large."""
        ...

    async def select(self, cache: Cache, selector: Selector, after: str, limit: int, *, living: bool) -> Sequence[Mark]:
        """Returns entries that are meant, only ``living`` ones or all, whose key is greater than ``after``, by key."""
        ...

    async def discard(
        self, cache: Cache, marks: Sequence[Mark], *, expire_only: bool, cause: Cause | None = None
    ) -> Discarded:
        """Removes selected entries, or lets them expire now, unless they were put anew.

        What cannot be read goes, whatever its mark says. Leases of their keys end. With ``cause`` followers are told
        of each key, in the same step.
        """
        ...

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
        """Tells followers what to forget, ends leases, and remembers the answer to a request, in one step.

        Returns how many leases ended.

        Args:
            cache: The cache.
            scopes: What to forget: scope, and key, tag or prefix.
            cause: Why.
            ending: Ends leases: of these keys, of those that were given with one of these tags, of keys that begin so,
                or all for a filter and for everything.
            once: What remembers the answer; None if there is nothing to remember.
            result: The answer.
        """
        ...

    async def follow(self, cache: Cache) -> None:
        """Has changes of the cache told for the next minute, and kept for that long.

        Without it nothing is, so that a cache which nobody follows pays nothing. Where it had lapsed, positions from
        before are no longer within the bounds of the feed.
        """
        ...

    def feed(self, cache: Cache) -> Log[Invalidation]:
        """Returns what followers of a cache are told, numbered without gaps in the order of the changes."""
        ...

    @property
    def changes(self) -> Signal:
        """Wakes those who wait for changes, of this process or another."""
        ...

    async def inspect(self, cache: Cache, after: str, limit: int) -> Sequence[Entry | Unreadable]:
        """Returns entries with their values, alive or not, whose key is greater than ``after``, by key.

        At most ``limit``, and not more than 8 MiB of values, but at least one if there is one.
        """
        ...

    async def recount(self, cache: Cache, *, repair: bool) -> Sequence[str]:
        """Compares the usage and the tags that are kept with the entries; returns what is wrong, in words."""
        ...

    async def data_types(self, tenant: str, gone: Collection[int]) -> Mapping[str, int]:
        """Returns how many entries of a tenant have each data type; those without one are left out.

        Args:
            tenant: Whose entries.
            gone: The numbers of deleted caches, whose entries do not count any more.
        """
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

    async def evict(self, cache: Cache) -> Swept:
        """Removes some of the entries that are worth least by the rules of the cache, as far as its limits demand."""
        ...

    async def expire(self) -> Swept:
        """Removes some of the entries whose time, and retention, is over, and leases and news that are."""
        ...

    async def drop(self, space: int) -> bool:
        """Removes some entries of a deleted cache; returns whether there is more to do."""
        ...

    async def forget(self, space: int) -> None:
        """Forgets a deleted cache that has no entries any more."""
        ...

    async def garbage(self, blob_backend: str, limit: int) -> Sequence[str]:
        """Returns locators in one blob backend that nobody has referred to for some seconds."""
        ...

    async def collected(self, locators: Sequence[str]) -> None:
        """Notes that these were removed from their backends."""
        ...

    async def known(self, locators: Sequence[str]) -> set[str]:
        """Returns which of these locators an entry, or the list of garbage, refers to."""
        ...

    async def moved(self, cache: Cache) -> None:
        """Has those who wait for changes look anew at a cache that was changed or deleted, in every process.

        Where the entries are beside the catalogue they do so anyway.
        """
        ...

    async def health(self) -> None:
        """Returns if the backend answers; raises Unavailable or DataLoss if not."""
        ...


class BlobWriter(Protocol):
    """Takes one blob, piece by piece."""

    async def sha256(self) -> str:
        """Returns the SHA-256 of what was written so far, as 64 hexadecimal digits. Raises as :meth:`write`."""
        ...

    async def write(self, data: bytes) -> None:
        """Takes the next bytes, and may still be at work with them when this returns; the next call tells of it then.

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

    async def store(self, tenant: str, value: bytes, compression: Compression) -> Draft:
        """Makes a blob durable, packed where that makes it smaller. Raises as :meth:`BlobWriter.write`."""
        ...

    def writer(self, tenant: str, compression: Compression) -> AbstractAsyncContextManager[BlobWriter]:
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

        From the end on it yields nothing, but finds out whether the bytes are there and how many they are. What was
        begun can be read to its end, also if the blob is deleted meanwhile. Raises as :meth:`load`.
        """
        ...

    async def delete(self, locator: str) -> None:
        """Removes a blob; one that is gone already is no error."""
        ...

    def old(self, tenant: str = "") -> AsyncIterator[Sequence[str]]:
        """Yields the locators of blobs that are old enough to be orphans, in groups of at most 500.

        Those of one tenant, or of all if it is empty.
        """
        ...

    async def tidy(self) -> None:
        """Removes what writers left behind that died before they finished."""
        ...

    async def health(self) -> None:
        """Returns if the backend can be used; raises Unavailable if not."""
        ...
