"""Values of one cache, with a near cache in front if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.arguments import checked_key
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers import CacheHandler, Encoded, Handlers
from sutler.client.cache.near import Fill, NearCache
from sutler.client.cache.values import Found, Values, is_miss, is_replaced
from sutler.errors import SutlerError
from sutler.wire import to_struct

READ_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Filling:
    """A read or put of one key that is under way.

    Attributes:
        key: The key.
        fill: What the near cache notes of it; None without one.
    """

    key: str
    fill: Fill | None


class Access:
    """Reads and puts values of one cache.

    Args:
        stub: The stub of CacheService.
        name: The cache, ``caches/{cache}``.
        handlers: What turns values into bytes and back.
        near: The near cache; None if there is none.

    Attributes:
        name: The cache.
        values: Its values over the wire.
        near: The near cache; None if there is none.
    """

    def __init__(self, stub: Any, name: str, handlers: Handlers, near: NearCache | None) -> None:
        self._stub = stub
        self.name = name
        self.values = Values(stub, name, handlers)
        self.near = near

    async def read(self, key: str, view: pb.EntryView.ValueType = pb.ENTRY_VIEW_VALUE) -> Found | None:
        """Returns a value as the service has it; None if there is none.

        Raises:
            ValueUnreadable: If no handler here can read it.
            SutlerError: As GetEntry, if there is no such cache or it does not serve.
        """
        for attempt in range(READ_ATTEMPTS):
            try:
                with self.filling(key) as fill:
                    request = pb.GetEntryRequest(cache=self.name, key=key, view=view)
                    return await self.found(await self._stub.GetEntry(request), fill)
            except SutlerError as error:
                if is_miss(error):
                    return None
                if not is_replaced(error) or attempt == READ_ATTEMPTS - 1:
                    raise
        return None

    async def found(self, entry: pb.Entry, fill: Filling) -> Found:
        """Returns the value of an entry, and keeps it near; the call that gave the entry began within the filling."""
        found = await self.values.found(fill.key, entry)
        self._keep(fill, found)
        return found

    async def put(
        self,
        fill: Filling,
        handler: CacheHandler,
        encoded: Encoded,
        entry: pb.Entry,
        condition: pb.PutCondition | None = None,
        timeout: float | None = None,
    ) -> CacheEntry:
        """Puts a value, and keeps it near.

        Raises:
            SutlerError: As PutEntry.
        """
        entry.content_type, entry.data_type = handler.content_type, handler.data_type
        metadata = to_struct(encoded.metadata)
        metadata.MergeFrom(entry.metadata)
        entry.metadata.CopyFrom(metadata)
        put = await self.values.put(fill.key, encoded, entry, condition, timeout)
        if self.near is not None:
            self.near.wrote(fill.key, put.etag)
            self._keep(fill, await self.values.decode(put, handler, encoded))
        return put

    @contextmanager
    def filling(self, key: str) -> Iterator[Filling]:
        """Notes what is told of a key while the block reads or puts it. Raises TypeError if it is no text."""
        checked_key(key)
        if self.near is None:
            yield Filling(key, None)
            return
        fill = self.near.begin(key)
        try:
            yield Filling(key, fill)
        finally:
            self.near.end(fill)

    def _keep(self, filling: Filling, found: Found) -> None:
        if filling.fill is not None and self.near is not None:
            self.near.keep(filling.fill, found.entry, found.shared, found.handler.copy, found.size)
