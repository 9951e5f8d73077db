"""Short forms of calls that many tests make."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.errors import Code, SutlerError


@dataclass(frozen=True)
class Shelf:
    """One cache, seen by a client."""

    client: Sutler
    name: str

    async def put(self, key: str, value: bytes | None = None, *, condition: Any = None, **fields: Any) -> pb.Entry:
        """Puts an entry; further fields are those of the request, or of the entry."""
        request = {name: fields.pop(name) for name in ("request_id", "keep_value") if name in fields}
        if value is not None:
            fields["inline_value"] = value
        return await self.client.cache.PutEntry(
            pb.PutEntryRequest(cache=self.name, key=key, entry=pb.Entry(**fields), condition=condition, **request)
        )

    async def get(self, key: str, **fields: Any) -> pb.Entry:
        return await self.client.cache.GetEntry(pb.GetEntryRequest(cache=self.name, key=key, **fields))

    async def delete(self, key: str, **fields: Any) -> None:
        await self.client.cache.DeleteEntry(pb.DeleteEntryRequest(cache=self.name, key=key, **fields))

    async def touch(self, key: str, **fields: Any) -> pb.Entry:
        return await self.client.cache.TouchEntry(pb.TouchEntryRequest(cache=self.name, key=key, **fields))

    async def increment(self, key: str, **fields: Any) -> pb.Entry:
        return await self.client.cache.IncrementEntry(pb.IncrementEntryRequest(cache=self.name, key=key, **fields))

    async def invalidate(self, **fields: Any) -> int:
        answer = await self.client.cache.InvalidateEntries(pb.InvalidateEntriesRequest(cache=self.name, **fields))
        return answer.invalidated_count

    async def keys(self, **fields: Any) -> list[str]:
        """The keys of the first page."""
        answer = await self.client.cache.ListEntries(pb.ListEntriesRequest(cache=self.name, **fields))
        return [entry.key for entry in answer.entries]

    async def reason(self, key: str) -> str:
        """Why a get of a key fails; empty if it does not."""
        try:
            await self.get(key)
        except SutlerError as error:
            return error.reason
        return ""

    async def write(
        self, key: str, *chunks: bytes, trailer: pb.WriteBlobTrailer | None = None, **header: Any
    ) -> pb.Entry:
        """Puts an entry through WriteBlob."""
        size = sum(map(len, chunks))

        async def parts() -> AsyncIterator[pb.WriteBlobRequest]:
            yield pb.WriteBlobRequest(header=pb.WriteBlobHeader(cache=self.name, key=key, **header))
            for chunk in chunks:
                yield pb.WriteBlobRequest(data=chunk)
            yield pb.WriteBlobRequest(trailer=trailer or pb.WriteBlobTrailer(size_bytes=size))

        return await self.client.cache.WriteBlob(parts())

    async def read(self, key: str, **fields: Any) -> list[pb.ReadBlobResponse]:
        """The messages of ReadBlob."""
        request = pb.ReadBlobRequest(cache=self.name, key=key, **fields)
        return [message async for message in self.client.cache.ReadBlob(request)]


async def accesses_stored(shelf: Shelf) -> None:
    """Waits until all accesses so far are stored."""
    await shelf.put("marker of accesses_stored", b"x")
    await shelf.get("marker of accesses_stored")

    async def stored() -> bool:
        return (await shelf.get("marker of accesses_stored", view=pb.ENTRY_VIEW_BASIC)).hit_count == 1

    await eventually(stored)


@contextmanager
def refused(code: Code, reason: str, **metadata: str) -> Any:
    """Expects a call to fail so; checks the metadata that are named."""
    with pytest.raises(SutlerError) as caught:
        yield caught
    error = caught.value
    assert (error.code, error.reason) == (code, reason)
    assert {name: error.metadata.get(name) for name in metadata} == metadata


async def eventually(check: Callable[[], Awaitable[object]], seconds: float = 20.0) -> None:
    """Waits until a check holds."""
    ends = time.monotonic() + seconds
    while not await check():
        assert time.monotonic() < ends, "it did not happen in time"
        await asyncio.sleep(0.02)
