"""Where large values are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from services.cache.caches import Compression
from services.cache.changes import Draft
from services.cache.entries import Blob


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
