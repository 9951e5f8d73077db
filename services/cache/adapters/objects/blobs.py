"""The blob backend over any byte store."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from uuid import uuid4

from sutler.backends import ByteStore
from sutler.backends.stored_bytes import ByteWriter

from services.cache.adapters.objects.layout import CHUNK
from services.cache.adapters.objects.owner import OWNER, Owner
from services.cache.adapters.objects.packer import Packer
from services.cache.adapters.objects.reading import check_there, chunks, load, span
from services.cache.caches import Compression
from services.cache.changes import Draft
from services.cache.entries import Blob

ORPHAN_SECONDS = 60.0
"""How old an object must be that nobody refers to before it is taken for an orphan: twice what a put may wait."""

GATHERED = 2 << 20
"""How many bytes of a stream are worked on at once: fewer visits of threads cost less."""


class ObjectBlobs:
    """Blobs as objects: ``<tenant>/<2 digits>/<random>``, written once and never changed.

    No key and no name that a caller chose is part of the name: the tenant is there as a digest. See
    :class:`services.cache.ports.BlobBackend`.

    Args:
        store: Where objects are.
        owner: Knows whether the store may be used; None if nobody else can reach it.
    """

    def __init__(self, store: ByteStore, owner: Owner | None = None) -> None:
        self._kept = store
        self._owner = owner

    async def store(self, tenant: str, value: bytes, compression: Compression) -> Draft:
        """Makes a blob durable."""
        packer, name = Packer(compression), _new_name(tenant)
        data = await asyncio.to_thread(lambda: packer.add(value) + packer.end())
        async with self._store.writer(name) as writer:
            await writer.write(data)
            await writer.finish()
        return Draft(packer.blob(name), time.time())

    @asynccontextmanager
    async def writer(self, tenant: str, compression: Compression) -> AsyncIterator[_Writer]:
        """Opens a new blob."""
        name = _new_name(tenant)
        async with self._store.writer(name) as opened:
            writer = _Writer(name, opened, Packer(compression))
            try:
                yield writer
            finally:
                await writer.stop()

    async def load(self, blob: Blob) -> bytes:
        """Returns all bytes of a small blob."""
        return await load(self._store, blob)

    async def read(self, blob: Blob, offset: int, limit: int) -> AsyncIterator[bytes]:
        """Yields checked bytes."""
        end = min(blob.size, offset + limit) if limit else blob.size
        if offset >= end:
            await check_there(self._store, blob)
            return
        first, last = span(blob, offset, end)
        async with aclosing(chunks(self._store, blob, first, last)) as found:
            position = first * CHUNK
            async for chunk in found:
                whole = position >= offset and position + len(chunk) <= end
                yield chunk if whole else chunk[max(0, offset - position) : end - position]
                position += len(chunk)

    async def delete(self, locator: str) -> None:
        """Removes a blob."""
        await self._store.delete(locator)

    async def old(self, tenant: str = "") -> AsyncIterator[Sequence[str]]:
        """Yields locators of objects that are old enough to be orphans."""
        folder = _folder(tenant) if tenant else ""
        async for names in self._store.older(ORPHAN_SECONDS):
            if found := [name for name in names if name.startswith(folder) and name != OWNER]:
                await self._confirm()
                yield found

    async def tidy(self) -> None:
        """Removes what dead writers left behind."""
        await self._confirm()
        await self._store.tidy()

    async def health(self) -> None:
        """Returns if the store can be used."""
        await self._store.health()

    @property
    def _store(self) -> ByteStore:
        """Where objects are. Raises Unavailable if it is not this installation's."""
        if self._owner is not None:
            self._owner.check()
        return self._kept

    async def _confirm(self) -> None:
        """Looks whose the store is before something is removed that this installation does not know."""
        if self._owner is not None:
            await self._owner.confirm()


class _Writer:
    """See :class:`services.cache.ports.BlobWriter`. While some pieces are worked on, the next ones gather."""

    def __init__(self, name: str, opened: ByteWriter, packer: Packer) -> None:
        self._name = name
        self._object = opened
        self._packer = packer
        self._gathered: list[bytes] = []
        self._size = 0
        self._work: asyncio.Task[None] | None = None

    async def sha256(self) -> str:
        """Returns the SHA-256 of what was written so far."""
        await self._begin()
        await self._worked()
        return self._packer.sha256

    async def write(self, data: bytes) -> None:
        """Takes the next bytes; what is wrong with them is raised by this or a later call."""
        self._gathered.append(data)
        self._size += len(data)
        if self._size >= GATHERED:
            await self._begin()

    async def finish(self) -> Draft:
        """Makes the blob durable."""
        await self._begin()
        await self._worked()
        await self._put(await asyncio.to_thread(self._packer.end))
        await self._object.finish()
        return Draft(self._packer.blob(self._name), time.time())

    async def stop(self) -> None:
        """Waits for what is being done with the last pieces, however that ends."""
        if self._work is not None:
            await asyncio.gather(asyncio.shield(self._work), return_exceptions=True)

    async def _begin(self) -> None:
        await self._worked()
        pieces, self._gathered, self._size = self._gathered, [], 0
        self._work = asyncio.create_task(self._take(pieces))

    async def _take(self, pieces: Sequence[bytes]) -> None:
        for data in await asyncio.to_thread(lambda: [self._packer.add(piece) for piece in pieces]):
            await self._put(data)

    async def _put(self, data: bytes) -> None:
        if data:
            await self._object.write(data)

    async def _worked(self) -> None:
        if self._work is not None:
            await asyncio.wait([self._work])  # unlike awaiting it, this does not end it when the caller is gone
            self._work.result()


def _new_name(tenant: str) -> str:
    random = uuid4().hex
    return f"{_folder(tenant)}{random[:2]}/{random}"


def _folder(tenant: str) -> str:
    return f"{hashlib.sha256(tenant.encode()).hexdigest()[:32]}/"
