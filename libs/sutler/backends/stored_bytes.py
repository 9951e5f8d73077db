"""The port of blob backends: pieces of bytes under names that are used once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol


class ByteWriter(Protocol):
    """Takes the bytes of one object, piece by piece."""

    async def write(self, data: bytes) -> None:
        """Takes the next bytes, at most some MiB."""
        ...

    async def finish(self) -> None:
        """Makes the object durable and visible, as one step."""
        ...


class ByteStore(ABC):
    """Keeps objects of any size under names of at most 200 characters, ``[0-9a-z./]`` without ``..``, that are never
    used a second time. The one exception is ``owner``, a small object that tells whose the others are: it may be
    written again, also by several at once, and is then what one of them wrote.

    All methods may be called from many tasks at once, and in several processes if the store is shared. They raise
    :class:`sutler.errors.Unavailable` if the store does not answer, and writers also
    :class:`sutler.errors.Exhausted` if there is no room (STORAGE_FULL).
    """

    @abstractmethod
    def writer(self, name: str) -> AbstractAsyncContextManager[ByteWriter]:
        """Opens a new object; what is not finished when the block ends is never seen and leaves nothing behind."""

    @abstractmethod
    async def read(self, name: str, offset: int, length: int) -> bytes | None:
        """Returns bytes of an object: fewer if it ends before, None if there is none of that name."""

    @abstractmethod
    def stream(self, name: str, offset: int, length: int) -> AsyncGenerator[bytes]:
        """Yields bytes of an object, in pieces of at most 1 MiB: fewer if it ends before, none if there is none.

        What was begun can be read to its end, also if the object is deleted meanwhile. It is closed if the rest is
        not wanted.
        """

    @abstractmethod
    async def delete(self, name: str) -> None:
        """Removes an object; one that is gone already is no error."""

    @abstractmethod
    def older(self, seconds: float) -> AsyncIterator[Sequence[str]]:
        """Yields the names of objects that were finished longer ago than this, in groups of at most 500.

        One whose age cannot be told for sure is left out until it can.
        """

    @abstractmethod
    async def tidy(self) -> None:
        """Removes what writers left behind that died before they finished."""

    @abstractmethod
    async def health(self) -> None:
        """Returns if the store can be used."""

    @abstractmethod
    async def close(self) -> None:
        """Frees what it holds."""
