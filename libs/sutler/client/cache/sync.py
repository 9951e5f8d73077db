"""One cache, as programs without asyncio use it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.cache import Cache
from sutler.client.cache.computing import Counts, computed_sync
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.entry_calls import Time
from sutler.client.cache.leases import Policy
from sutler.client.cache.near import MISSING

T = TypeVar("T")


class SyncCache:
    """The values of one cache, for any thread. Each method is the one of :class:`~sutler.client.cache.cache.Cache`.

    Attributes:
        cache: The cache behind it.
    """

    def __init__(self, cache: Cache) -> None:
        self.cache = cache

    def get(self, key: str, default: Any = None, *, copy: bool = True) -> Any:
        """Returns a value, or the default if there is none."""
        held = self.cache.held(key, copy=copy)
        return self.cache.wait(self.cache.get(key, default, copy=copy)) if held is MISSING else held

    def get_with_entry(self, key: str) -> tuple[Any, CacheEntry] | None:
        """Returns a value and all that is known of its entry; None if there is none."""
        return self.cache.wait(self.cache.get_with_entry(key))

    def get_many(self, keys: Sequence[str], *, copy: bool = True) -> dict[str, Any]:
        """Returns the values that there are, by key."""
        return self.cache.wait(self.cache.get_many(keys, copy=copy))

    def put(
        self,
        key: str,
        value: Any,
        *,
        ttl: Time | None = None,
        expire_time: datetime | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        if_absent: bool = False,
        etag: str = "",
    ) -> CacheEntry:
        """Puts a value, and returns its entry."""
        return self.cache.wait(
            self.cache.put(
                key,
                value,
                ttl=ttl,
                expire_time=expire_time,
                tags=tags,
                metadata=metadata,
                if_absent=if_absent,
                etag=etag,
            )
        )

    def put_many(
        self, values: Mapping[str, Any], *, ttl: Time | None = None, tags: Sequence[str] = ()
    ) -> list[CacheEntry]:
        """Puts several values, and returns their entries."""
        return self.cache.wait(self.cache.put_many(values, ttl=ttl, tags=tags))

    def get_or_compute(
        self,
        key: str,
        compute: Callable[[], T],
        *,
        ttl: Time | None = None,
        tags: Iterable[str] = (),
        stale: Time = 0,
        stale_if_error: Time = 0,
        required: bool = False,
        copy: bool = True,
    ) -> T:
        """Returns a value, and computes it first, in this thread, if there is none."""
        held = self.cache.held(key, copy=copy)
        if held is not MISSING:
            return held  # type: ignore[no-any-return]
        policy = Policy.of(ttl=ttl, tags=tags, stale=stale, stale_if_error=stale_if_error, required=required)
        return computed_sync(self.cache, key, compute, policy, Counts(), copy=copy)  # type: ignore[no-any-return]

    def exists(self, key: str) -> bool:
        """Returns whether there is a value."""
        return self.cache.wait(self.cache.exists(key))

    def entry(self, key: str) -> CacheEntry | None:
        """Returns what is known of an entry, without its value; None if there is none."""
        return self.cache.wait(self.cache.entry(key))

    def entries(self, *, prefix: str = "", filter: str = "", order_by: str = "") -> Iterator[CacheEntry]:
        """Gives all entries, without their values."""
        found = self.cache.entries(prefix=prefix, filter=filter, order_by=order_by)
        while (entry := self.cache.wait(self._next(found))) is not None:
            yield entry

    @staticmethod
    async def _next(found: Any) -> CacheEntry | None:
        return await anext(found, None)

    def delete(self, key: str) -> bool:
        """Deletes a value. Returns whether there was one."""
        return self.cache.wait(self.cache.delete(key))

    def touch(self, key: str, *, ttl: Time | None = None) -> CacheEntry | None:
        """Gives a value a new life from now on. Returns None if there is none."""
        return self.cache.wait(self.cache.touch(key, ttl=ttl))

    def touch_many(self, keys: Sequence[str], *, ttl: Time | None = None) -> int:
        """Gives several values a new life from now on, and returns how many there were."""
        return self.cache.wait(self.cache.touch_many(keys, ttl=ttl))

    def increment(self, key: str, delta: int = 1, *, initial: int = 0, ttl: Time | None = None) -> int:
        """Adds to a counter in one step, and returns its value."""
        return self.cache.wait(self.cache.increment(key, delta, initial=initial, ttl=ttl))

    def invalidate(self, **selector: Any) -> int:
        """Removes what one of ``keys``, ``tags``, ``prefix``, ``filter`` and ``all`` names. Returns how many."""
        return self.cache.wait(self.cache.invalidate(**selector))

    def verify(self, *, repair: bool = False, metadata_only: bool = False) -> pb.VerifyCacheResponse:
        """Compares all values with their checksums, signatures and metadata, and returns what is wrong."""
        return self.cache.wait(self.cache.verify(repair=repair, metadata_only=metadata_only))

    def stats(self) -> pb.CacheStats:
        """Returns the sizes and counters of the cache."""
        return self.cache.wait(self.cache.stats())
