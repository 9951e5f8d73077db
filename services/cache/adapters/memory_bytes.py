"""The byte store in the memory of this process."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import BaseModel, Field
from sutler.backends import ByteStore, Capability
from sutler.errors import Exhausted

DESCRIPTION = "The memory of one process; empty after a restart"
CAPABILITIES = (Capability.RANGES,)

PIECE = 1 << 20
GROUP = 500
RETRY_AFTER = timedelta(seconds=1)


class MemoryOptions(BaseModel, extra="forbid"):
    """What an operator says about blobs in memory."""

    max_bytes: int = Field(256 << 20, ge=1, description="The most bytes that all blobs may take together")


@dataclass(frozen=True, slots=True)
class _Object:
    data: bytes
    finished: float = field(default_factory=time.monotonic)


class MemoryBytes(ByteStore):
    """Objects in memory. See :class:`sutler.backends.ByteStore`.

    Args:
        options: How much it may take.
    """

    def __init__(self, options: MemoryOptions) -> None:
        self._free = options.max_bytes
        self._objects: dict[str, _Object] = {}

    @asynccontextmanager
    async def writer(self, name: str) -> AsyncIterator[_Writer]:
        """Opens a new object."""
        writer = _Writer(self, name)
        try:
            yield writer
        finally:
            self._free += writer.size

    async def read(self, name: str, offset: int, length: int) -> bytes | None:
        """Returns bytes of an object."""
        found = self._objects.get(name)
        return None if found is None else found.data[offset : offset + length]

    async def stream(self, name: str, offset: int, length: int) -> AsyncGenerator[bytes]:
        """Yields bytes of an object."""
        found = self._objects.get(name)
        data = b"" if found is None else found.data
        end = min(len(data), offset + length)
        for start in range(offset, end, PIECE):
            yield data[start : min(end, start + PIECE)]

    async def delete(self, name: str) -> None:
        """Removes an object."""
        found = self._objects.pop(name, None)
        if found is not None:
            self._free += len(found.data)

    async def older(self, seconds: float) -> AsyncIterator[Sequence[str]]:
        """Yields names of objects that are old enough."""
        before = time.monotonic() - seconds
        names = [name for name, found in self._objects.items() if found.finished < before]
        for start in range(0, len(names), GROUP):
            yield names[start : start + GROUP]

    async def tidy(self) -> None:
        """Does nothing: what a dead process did not finish went with it."""

    async def health(self) -> None:
        """Returns."""

    async def close(self) -> None:
        """Forgets all objects."""
        self._objects.clear()

    def take(self, size: int) -> None:
        """Takes room for bytes.

        Raises:
            Exhausted: If there is none (STORAGE_FULL).
        """
        if size > self._free:
            raise Exhausted(
                "the memory for blobs is full; nothing was changed", reason="STORAGE_FULL", retry_after=RETRY_AFTER
            )
        self._free -= size

    def keep(self, name: str, data: bytes) -> None:
        """Makes an object visible, for whose bytes room was taken."""
        self._objects[name] = _Object(data)


class _Writer:
    """See :class:`sutler.backends.stored_bytes.ByteWriter`.

    Attributes:
        size: The bytes for which it holds room.
    """

    def __init__(self, store: MemoryBytes, name: str) -> None:
        self.size = 0
        self._store = store
        self._name = name
        self._pieces: list[bytes] = []

    async def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._store.take(len(data))
        self.size += len(data)
        self._pieces.append(data)

    async def finish(self) -> None:
        """Makes the object visible."""
        self._store.keep(self._name, b"".join(self._pieces))
        self._pieces.clear()
        self.size = 0
