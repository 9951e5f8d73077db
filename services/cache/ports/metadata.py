"""Where entries are kept, with their small values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from sutler.idempotency import Once
from sutler.tails import Log, Signal

from services.cache.accesses import Access
from services.cache.caches import Cache, Usage
from services.cache.changes import Row
from services.cache.entries import Blob, Entry, Unreadable
from services.cache.listing import Query
from services.cache.results import Changed, Discarded, Found, Listed, Swept, Version
from services.cache.selectors import Mark, Selector
from services.cache.telling import Cause, Invalidation, Scope


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
