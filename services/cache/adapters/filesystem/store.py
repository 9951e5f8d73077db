"""The byte store in a folder of the file system."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field
from sutler.backends import ByteStore
from sutler.errors import FailedPrecondition

from services.cache.adapters.filesystem.aging import folders_in, old_files, remove_abandoned
from services.cache.adapters.filesystem.failures import told
from services.cache.adapters.filesystem.reading import FileReader
from services.cache.adapters.filesystem.writing import INCOMING, FileWriter, Folders

T = TypeVar("T")

PIECE = 1 << 20
GATHERED = 2 << 20
"""How many bytes are written at once: fewer visits of threads cost less."""

GROUP = 500


class FilesystemOptions(BaseModel, extra="forbid"):
    """What an operator says about a folder of blobs."""

    folder: Path = Field(description="Where files are; made if it is not there")
    threads: int = Field(8, ge=1, le=256, description="How many files are read and written at once")


class FilesystemBytes(ByteStore):
    """Objects as files: what is finished is on disk, and so is its folder.

    A file is written under ``incoming``, synced, and moved to its name. See :class:`sutler.backends.ByteStore`.

    Args:
        options: Where.

    Raises:
        FailedPrecondition: If the folder cannot be made or written to.
    """

    def __init__(self, options: FilesystemOptions) -> None:
        self._folder = options.folder
        self._pool = ThreadPoolExecutor(options.threads, thread_name_prefix="blobs")
        try:
            self._folders = Folders(self._folder)
            probe = FileWriter(self._folders, INCOMING)
            probe.write([])
            probe.abort()
        except OSError as error:
            raise FailedPrecondition(
                f"the folder of blobs {self._folder} cannot be used ({error.strerror}): check that this user may write"
                " to it, or name another in SUTLER_CACHE_BLOBS, for a further backend in SUTLER_CACHE_BLOB_BACKENDS",
                metadata={"path": str(self._folder)},
            ) from error

    @asynccontextmanager
    async def writer(self, name: str) -> AsyncIterator[_Writer]:
        """Opens a new object."""
        writer = _Writer(self, FileWriter(self._folders, name))
        try:
            yield writer
        finally:
            await asyncio.shield(writer.abort())

    async def read(self, name: str, offset: int, length: int) -> bytes | None:
        """Returns bytes of an object."""

        def work() -> bytes | None:
            file = self._opened(name)
            if file is None:
                return None
            try:
                return file.read(offset, length)
            finally:
                file.close()

        return await self.run(work)

    async def stream(self, name: str, offset: int, length: int) -> AsyncGenerator[bytes]:
        """Yields bytes of an object; the open file stays readable when it is deleted."""
        file = await self.run(lambda: self._opened(name))
        if file is None:
            return
        try:
            end = offset + length
            while offset < end:
                data = await self.run(partial(file.read, offset, min(PIECE, end - offset)))
                if not data:
                    return
                yield data
                offset += len(data)
        finally:
            await asyncio.shield(self.run(file.close))

    async def delete(self, name: str) -> None:
        """Removes an object."""

        def unlink() -> None:
            with suppress(FileNotFoundError):
                (self._folder / name).unlink()

        await self.run(unlink)

    async def older(self, seconds: float) -> AsyncIterator[Sequence[str]]:
        """Yields names of files that are old enough, one folder at a time."""
        waiting = [""]
        while waiting:
            place = waiting.pop()
            inner = await self.run(partial(folders_in, self._folder / place))
            waiting += [f"{place}{name}/" for name in inner if place or name != INCOMING]
            names = await self.run(partial(old_files, self._folder / place, seconds))
            for start in range(0, len(names), GROUP):
                yield [f"{place}{name}" for name in names[start : start + GROUP]]

    async def tidy(self) -> None:
        """Removes files that dead processes did not finish."""
        await self.run(lambda: remove_abandoned(self._folder / INCOMING))

    async def health(self) -> None:
        """Returns if the folder can be written to."""

        def check() -> None:
            if not os.access(self._folder / INCOMING, os.W_OK | os.X_OK):
                raise PermissionError(f"{self._folder} cannot be written to")

        await self.run(check)

    async def close(self) -> None:
        """Ends the threads, after what they do now."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def run(self, work: Callable[[], T]) -> T:
        """Does blocking work in a thread, and tells its errors as those of the port."""

        def run() -> T:
            with told():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)

    def _opened(self, name: str) -> FileReader | None:
        try:
            return FileReader(self._folder / name)
        except FileNotFoundError:
            (self._folder / INCOMING).stat()  # a folder that is not mounted is an outage, not a file that is missing
            return None


class _Writer:
    """See :class:`sutler.backends.stored_bytes.ByteWriter`. A small object needs one visit of a thread."""

    def __init__(self, store: FilesystemBytes, file: FileWriter) -> None:
        self._store = store
        self._file = file
        self._gathered: list[bytes] = []
        self._size = 0

    async def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        if self._size + len(data) > GATHERED:
            pieces, self._gathered, self._size = self._gathered, [], 0
            await self._store.run(partial(self._file.write, pieces))
        self._gathered.append(data)
        self._size += len(data)

    async def finish(self) -> None:
        """Makes the file durable in its place."""
        await self._store.run(partial(self._file.finish, self._gathered))

    async def abort(self) -> None:
        """Removes what is not finished."""
        if not self._file.ended:
            await self._store.run(self._file.abort)
