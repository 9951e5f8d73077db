"""The blob backend in a folder of the file system."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from sutler.errors import FailedPrecondition

from services.cache.adapters.filesystem.failures import told
from services.cache.adapters.filesystem.reading import FileReader, load
from services.cache.adapters.filesystem.writing import CHUNK, INCOMING, FileWriter, Folders
from services.cache.changes import Draft
from services.cache.entries import Blob

T = TypeVar("T")

ORPHAN_SECONDS = 60.0
"""How old a file must be that nobody refers to before it is taken for an orphan: twice what a put may wait."""

GROUP = 500


class FilesystemBlobs:
    """Blobs in a folder. See :class:`services.cache.ports.BlobBackend`.

    Args:
        folder: Where; made if it is not there.
        threads: How many read and write at once.

    Raises:
        FailedPrecondition: If the folder cannot be made or written to.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="blobs")
        try:
            self._folders = Folders(folder)
            FileWriter(self._folders, "").abort()
        except OSError as error:
            raise FailedPrecondition(
                f"the folder of blobs {folder} cannot be used ({error.strerror}): check that this user may write to it,"
                " or set SUTLER_CACHE_BLOBS to another",
                metadata={"path": str(folder)},
            ) from error

    async def store(self, tenant: str, value: bytes) -> Draft:
        """Makes a blob durable."""

        def write() -> Draft:
            writer = FileWriter(self._folders, tenant)
            try:
                writer.write(value)
                return writer.finish()
            finally:
                writer.abort()

        return await self._run(write)

    @asynccontextmanager
    async def writer(self, tenant: str) -> AsyncIterator[_Writer]:
        """Opens a new blob."""
        file = await self._run(lambda: FileWriter(self._folders, tenant))
        try:
            yield _Writer(self, file)
        finally:
            await asyncio.shield(self._run(file.abort))

    async def load(self, blob: Blob) -> bytes:
        """Returns all bytes of a small blob."""
        return await self._run(lambda: load(self._folder / blob.locator, blob))

    async def read(self, blob: Blob, offset: int, limit: int) -> AsyncIterator[bytes]:
        """Yields checked bytes."""
        end = min(blob.size, offset + limit) if limit else blob.size
        file = await self._run(lambda: FileReader(self._folder / blob.locator, blob))
        try:
            while offset < end:
                index, start = divmod(offset, CHUNK)
                data = await self._run(lambda index=index: file.chunk(index))  # type: ignore[misc]
                part = data[start : start + end - offset]
                yield part
                offset += len(part)
        finally:
            file.close()

    async def delete(self, locator: str) -> None:
        """Removes a blob."""

        def unlink() -> None:
            with suppress(FileNotFoundError):
                (self._folder / locator).unlink()

        await self._run(unlink)

    async def old(self) -> AsyncIterator[Sequence[str]]:
        """Yields locators of files that are old enough to be orphans, one folder at a time."""
        for tenant in await self._run(lambda: _folders(self._folder)):
            for shard in await self._run(lambda tenant=tenant: _folders(self._folder / tenant)):  # type: ignore[misc]
                place = f"{tenant}/{shard}"
                names = await self._run(lambda place=place: _old_files(self._folder / place))  # type: ignore[misc]
                for start in range(0, len(names), GROUP):
                    yield [f"{place}/{name}" for name in names[start : start + GROUP]]

    async def tidy(self) -> None:
        """Removes files that dead processes did not finish."""
        await self._run(lambda: _remove_abandoned(self._folder / INCOMING))

    async def health(self) -> None:
        """Returns if the folder can be written to."""

        def check() -> None:
            if not os.access(self._folder / INCOMING, os.W_OK | os.X_OK):
                raise PermissionError(f"{self._folder} cannot be written to")

        await self._run(check)

    def close(self) -> None:
        """Ends the threads, after what they do now. Blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        def run() -> T:
            with told():
                return work()

        return await asyncio.get_running_loop().run_in_executor(self._pool, run)


@asynccontextmanager
async def open_blobs(folder: Path, threads: int) -> AsyncIterator[FilesystemBlobs]:
    """Opens the blobs in a folder, and ends their threads afterwards. Raises as :class:`FilesystemBlobs`."""
    blobs = await asyncio.to_thread(FilesystemBlobs, folder, threads)
    try:
        yield blobs
    finally:
        await asyncio.to_thread(blobs.close)


class _Writer:
    """See :class:`services.cache.ports.BlobWriter`."""

    def __init__(self, blobs: FilesystemBlobs, file: FileWriter) -> None:
        self._blobs = blobs
        self._file = file

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far."""
        return self._file.sha256

    async def write(self, data: bytes) -> None:
        """Takes the next bytes."""
        await self._blobs._run(lambda: self._file.write(data))

    async def finish(self) -> Draft:
        """Makes the blob durable."""
        return await self._blobs._run(self._file.finish)


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as found:
        return [item.name for item in found if item.name != INCOMING and item.is_dir(follow_symlinks=False)]


def _old_files(folder: Path) -> list[str]:
    before = time.time() - ORPHAN_SECONDS
    names = []
    with os.scandir(folder) as found:
        for item in found:
            with suppress(FileNotFoundError):
                if item.stat(follow_symlinks=False).st_mtime < before:
                    names.append(item.name)
    return names


def _remove_abandoned(folder: Path) -> None:
    """Removes old files that nobody has locked: the kernel frees the lock of a process that dies."""
    for name in _old_files(folder):
        with suppress(FileNotFoundError, BlockingIOError):
            file = os.open(folder / name, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (folder / name).unlink()
            finally:
                os.close(file)
