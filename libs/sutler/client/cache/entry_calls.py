"""What one does with a cache and its entries without their values."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import cast

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.arguments import checked_key, checked_texts, seconds_of
from sutler.client.cache.entries import CacheEntry, from_message
from sutler.client.cache.home import Home
from sutler.client.cache.near import NearCache
from sutler.client.cache.values import is_miss
from sutler.client.connection import Sutler
from sutler.errors import NotFound
from sutler.status import from_status
from sutler.wire import duration

Time = float | timedelta
PAGE = 1000


class EntryCalls(Home):
    """The calls about entries.

    Args:
        sutler: The connection.
        name: The cache, ``caches/{cache}``.
        near: The near cache; None if there is none.

    Attributes:
        near: The near cache; None if there is none.
    """

    def __init__(self, sutler: Sutler, name: str, near: NearCache | None) -> None:
        super().__init__(name, sutler.cache)
        self._sutler = sutler
        self.near = near

    async def exists(self, key: str) -> bool:
        """Returns whether there is a value; does not count as an access."""
        return await self.entry(key) is not None

    async def entry(self, key: str) -> CacheEntry | None:
        """Returns what is known of an entry, without its value; None if there is none. Does not count as an access."""
        request = pb.GetEntryRequest(cache=self.name, key=checked_key(key), view=pb.ENTRY_VIEW_BASIC)
        try:
            return from_message(key, await self._stub.GetEntry(request))
        except NotFound as error:
            if is_miss(error):
                return None
            raise

    async def entries(self, *, prefix: str = "", filter: str = "", order_by: str = "") -> AsyncIterator[CacheEntry]:
        """Gives all entries, without their values.

        Args:
            prefix: Only those whose key begins so.
            filter: Only those that match (AIP-160), such as ``metadata.rows > 100 AND tags:"fx"``.
            order_by: In this order, such as ``metadata.rows desc``; by key if empty.
        """
        request = pb.ListEntriesRequest(
            cache=self.name, prefix=prefix, filter=filter, order_by=order_by, page_size=PAGE
        )
        while True:
            page = await self._stub.ListEntries(request)
            for entry in page.entries:
                yield from_message(entry.key, entry)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def delete(self, key: str) -> bool:
        """Deletes a value. Returns whether there was one."""
        try:
            await self._stub.DeleteEntry(pb.DeleteEntryRequest(cache=self.name, key=checked_key(key)))
        except NotFound as error:
            if is_miss(error):
                return False
            raise
        finally:
            self._forget(key)
        return True

    async def touch(self, key: str, *, ttl: Time | None = None) -> CacheEntry | None:
        """Gives a value a new life from now on: its own one again, or another. Returns None if there is none."""
        length = None if ttl is None else duration(seconds_of("ttl", ttl))
        try:
            request = pb.TouchEntryRequest(cache=self.name, key=checked_key(key), ttl=length)
            return from_message(key, await self._stub.TouchEntry(request))
        except NotFound as error:
            if is_miss(error):
                return None
            raise
        finally:
            self._forget(key)

    async def touch_many(self, keys: Sequence[str], *, ttl: Time | None = None) -> int:
        """Gives several values a new life from now on, and returns how many there were."""
        length, found = None if ttl is None else duration(seconds_of("ttl", ttl)), 0
        rows = [pb.TouchEntryRow(key=key, ttl=length) for key in checked_texts("keys", keys)]
        try:
            for start in range(0, len(rows), PAGE):
                request = pb.BatchTouchEntriesRequest(cache=self.name, rows=rows[start : start + PAGE])
                for result in (await self._stub.BatchTouchEntries(request)).results:
                    if result.HasField("entry"):
                        found += 1
                    elif not is_miss(error := from_status(result.status)):
                        raise error
        finally:
            for row in rows:
                self._forget(row.key)
        return found

    async def increment(self, key: str, delta: int = 1, *, initial: int = 0, ttl: Time | None = None) -> int:
        """Adds to a counter in one step, and returns its value. A new one begins at ``initial``, and lives ``ttl``."""
        request = pb.IncrementEntryRequest(cache=self.name, key=checked_key(key), delta=delta, initial_value=initial)
        if ttl is not None:
            request.ttl.CopyFrom(duration(seconds_of("ttl", ttl)))
        try:
            return int((await self._stub.IncrementEntry(request)).counter_value)
        finally:
            self._forget(key)

    async def invalidate(
        self,
        *,
        keys: Sequence[str] = (),
        tags: Sequence[str] = (),
        prefix: str = "",
        filter: str = "",
        all: bool = False,
        expire_only: bool = False,
    ) -> int:
        """Removes what one of the arguments names, and returns how many there were.

        Args:
            keys: By key.
            tags: By tag; one of them is enough.
            prefix: By the beginning of the key.
            filter: By what is known of the entries (AIP-160).
            all: Everything.
            expire_only: Lets them expire, so that they can still be given as stale.
        """
        keys, tags = checked_texts("keys", keys), checked_texts("tags", tags)
        request = pb.InvalidateEntriesRequest(
            cache=self.name, keys=keys, tags=tags, prefix=prefix, filter=filter, all=all, expire_only=expire_only
        )
        try:
            return int((await self._stub.InvalidateEntries(request)).invalidated_count)
        finally:
            if self.near is not None:
                self.near.forget_all() if filter or all else self._forget_named(self.near, keys, tags, prefix)

    async def stats(self) -> pb.CacheStats:
        """Returns the sizes and counters of the cache."""
        stats: pb.CacheStats = await self._stub.GetCacheStats(pb.GetCacheStatsRequest(name=self.name))
        return stats

    async def verify(self, *, repair: bool = False, metadata_only: bool = False) -> pb.VerifyCacheResponse:
        """Compares all values with their checksums, signatures and metadata, and returns what is wrong.

        Args:
            repair: Mends what can be mended and removes the rest.
            metadata_only: Looks at metadata, existence and sizes only, and reads no value.

        Raises:
            Conflict: If a run is under way.
        """
        request = pb.VerifyCacheRequest(name=self.name, repair=repair, metadata_only=metadata_only)
        return cast(pb.VerifyCacheResponse, await self._sutler.wait(await self._stub.VerifyCache(request)))

    def _forget(self, key: str) -> None:
        if self.near is not None:
            self.near.forget_key(key)

    @staticmethod
    def _forget_named(near: NearCache, keys: Sequence[str], tags: Sequence[str], prefix: str) -> None:
        for key in keys:
            near.forget_key(key)
        near.forget_tags(tags)
        if prefix:
            near.forget_prefix(prefix)
