"""Values of a cache over the wire: small ones in a call, large ones as streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache.entries import CacheEntry, from_message
from sutler.client.cache.handlers import CacheHandler, Encoded, Handlers, ValueUnreadable
from sutler.errors import Conflict, DataLoss, FailedPrecondition, NotFound, Unavailable
from sutler.wire import from_value

INLINE_BYTES = 1024 * 1024
CHUNK_BYTES = 1024 * 1024
READ_ATTEMPTS = 4
STREAM_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Found:
    """A value that was read.

    Attributes:
        entry: Its entry.
        shared: The value, for all who read it; nobody changes it.
        handler: What read it.
        size: How many bytes it has.
    """

    entry: CacheEntry
    shared: Any
    handler: CacheHandler
    size: int

    def value(self, *, copy: bool = True) -> Any:
        """Returns the value: one that the caller may change, or the shared one."""
        return self.handler.copy(self.shared) if copy else self.shared


class Values:
    """Reads and writes values of one cache.

    Args:
        stub: The stub of CacheService.
        cache: The cache, ``caches/{cache}``.
        handlers: What turns values into bytes and back.
    """

    def __init__(self, stub: Any, cache: str, handlers: Handlers) -> None:
        self._stub = stub
        self._cache = cache
        self._handlers = handlers
        self._signs: bool | None = None

    async def encode(self, value: Any) -> tuple[CacheHandler, Encoded]:
        """Returns a value as bytes, and what made them.

        Raises:
            TypeError: If no handler takes it.
            FailedPrecondition: If its bytes can run code and the cache does not sign.
        """
        writer = self._handlers.writer(value)
        if writer.executable and not await self._signing():
            raise FailedPrecondition(
                f"{self._cache} does not sign, so it takes no {writer.data_type}: turn its signing on",
                metadata={"cache": self._cache, "data_type": writer.data_type},
            )
        if writer.quick:
            return writer, writer.encode(value)
        return writer, await asyncio.to_thread(writer.encode, value)

    async def put(
        self,
        key: str,
        encoded: Encoded,
        entry: pb.Entry,
        condition: pb.PutCondition | None = None,
        timeout: float | None = None,
    ) -> CacheEntry:
        """Puts bytes, with what ``entry`` says of them, and returns the entry that is there then.

        Raises:
            SutlerError: As PutEntry.
        """
        if encoded.size <= INLINE_BYTES:
            entry.inline_value = encoded.joined()
            request = pb.PutEntryRequest(cache=self._cache, key=key, entry=entry, condition=condition)
            return from_message(key, await self._stub.PutEntry(request, timeout=timeout))
        header = pb.WriteBlobHeader(cache=self._cache, key=key, entry=entry, condition=condition)
        return from_message(key, await self._stub.WriteBlob(_parts(header, encoded), timeout=STREAM_SECONDS))

    async def found(self, key: str, entry: pb.Entry) -> Found:
        """Returns the value of an entry that a call gave.

        Raises:
            ValueUnreadable: If no handler here can read it.
            SutlerError: As ReadBlob, if it is large.
        """
        told = from_message(key, entry)
        kind = entry.WhichOneof("value")
        if kind == "blob":
            return await self._decoded(told, await self._read(key, entry.etag))
        if kind == "inline_value":
            return await self._decoded(told, entry.inline_value)
        plain = self._handlers.reader(CacheEntry(key, content_type="application/json"))
        value = entry.counter_value if kind == "counter_value" else from_value(entry.json_value)
        return Found(told, value, plain, entry.ByteSize())

    async def decode(self, entry: CacheEntry, handler: CacheHandler, encoded: Encoded) -> Found:
        """Returns a value that was just encoded as its readers will see it."""
        return await self._with(handler, entry, encoded.joined())

    async def _decoded(self, entry: CacheEntry, data: bytes | bytearray) -> Found:
        return await self._with(self._handlers.reader(entry), entry, data)

    async def _with(self, handler: CacheHandler, entry: CacheEntry, data: bytes | bytearray) -> Found:
        try:
            if handler.quick or len(data) <= INLINE_BYTES:
                value = handler.decode(data, entry)
            else:
                value = await asyncio.to_thread(handler.decode, data, entry)
        except ValueUnreadable:
            raise
        except Exception as error:
            raise ValueUnreadable(f"entry {entry.key!r} holds no value of {handler.data_type}: {error}") from error
        return Found(entry, value, handler, len(data))

    async def _read(self, key: str, etag: str) -> bytearray:
        """Reads a large value, going on where a stream broke."""
        data, attempt = bytearray(), 1
        while True:
            request = pb.ReadBlobRequest(cache=self._cache, key=key, offset=len(data), etag=etag)
            try:
                if await self._take(request, data):
                    return data
            except Unavailable:
                if attempt == READ_ATTEMPTS:
                    raise
            if attempt == READ_ATTEMPTS:
                raise DataLoss(f"the value of {key!r} did not come whole", metadata={"cache": self._cache, "key": key})
            attempt += 1

    async def _take(self, request: pb.ReadBlobRequest, data: bytearray) -> bool:
        async for message in self._stub.ReadBlob(request, timeout=STREAM_SECONDS):
            if message.offset == len(data):
                data += message.data
            if message.complete:
                return True
        return False

    async def _signing(self) -> bool:
        if not self._signs:
            self._signs = (await self._stub.GetCache(pb.GetCacheRequest(name=self._cache))).signing
        return self._signs


def is_miss(error: BaseException) -> bool:
    """Returns whether an error says that there is no value, and not that there is no cache."""
    return isinstance(error, NotFound) and error.reason != "CACHE_NOT_FOUND"


def is_replaced(error: BaseException) -> bool:
    """Returns whether an error says that an entry was replaced while it was read."""
    return isinstance(error, Conflict) and error.reason == "ETAG_MISMATCH"


async def _parts(header: pb.WriteBlobHeader, encoded: Encoded) -> AsyncIterator[pb.WriteBlobRequest]:
    yield pb.WriteBlobRequest(header=header)
    for chunk in encoded.chunks:
        data = memoryview(chunk).cast("B")
        for start in range(0, len(data), CHUNK_BYTES):
            yield pb.WriteBlobRequest(data=bytes(data[start : start + CHUNK_BYTES]))
    yield pb.WriteBlobRequest(trailer=pb.WriteBlobTrailer(size_bytes=encoded.size))
