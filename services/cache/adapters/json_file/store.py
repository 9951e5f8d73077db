"""The store in a file: read when it has changed, written to a file beside it that takes its place."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import Context
from pathlib import Path
from typing import TypeVar

import orjson
from pydantic import BaseModel, Field
from sutler.backends import OrderedStore
from sutler.backends.memory import MemoryStore
from sutler.backends.ordered import Check

from services.cache.adapters.json_file.failures import told
from services.cache.adapters.json_file.texts import to_json, to_key, to_text, to_value

T = TypeVar("T")

FORMAT = 1
LOOK_SECONDS = 0.05
"""How often to look whether another process has changed the file."""

Version = tuple[int, int, int]


class JsonOptions(BaseModel, extra="forbid"):
    """What an operator says about a JSON file."""

    file: Path = Field(description="The file; its folder must be there. Only this service writes it while it runs")


class JsonStore(OrderedStore):
    """Keys and values in a JSON file. See :class:`sutler.backends.OrderedStore`.

    Every commit writes the whole file: to a temporary one, synced, that then takes its place. A lock beside it keeps
    the processes of one host apart.

    Args:
        options: Where the file is.
    """

    def __init__(self, options: JsonOptions) -> None:
        self._file = options.file
        self._lock_file = options.file.with_name(f"{options.file.name}.lock")
        self._memory = MemoryStore()
        self._version: Version | None = None
        self._turn = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Returns the values of keys."""
        await self._look()
        return await self._memory.get(keys)

    async def scan(self, first: bytes, end: bytes, limit: int) -> Sequence[tuple[bytes, bytes]]:
        """Returns keys and values of a range."""
        await self._look()
        return await self._memory.scan(first, end, limit)

    async def commit(self, check: Check, writes: Mapping[bytes, bytes | None]) -> bool:
        """Makes writes if a key has the value that they were based on."""

        def commit() -> bool:
            with _locked(self._lock_file):
                self._read()
                key, value = check
                if self._memory.values.get(key) != value:
                    return False
                if writes:
                    # A new one takes the place of that in memory, for others read it meanwhile.
                    after = MemoryStore()
                    after.write({**self._memory.values, **writes})
                    version = self._write(after.values)
                    self._memory, self._version = after, version
                return True

        return await self._in_turn(commit)

    async def health(self) -> None:
        """Returns if the file can be read, and its folder written."""
        await self._look()

        def check() -> None:
            with _locked(self._lock_file):
                return

        await self._in_turn(check)

    async def close(self) -> None:
        """Ends the looks at the file."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def listen(self, changed: Callable[[], None]) -> None:
        """Has ``changed`` called when the file has changed."""

        async def watch() -> None:
            seen: Version | None = None
            while True:
                with suppress(OSError):  # whoever looks then is told
                    now = _version(self._file)
                    if now != seen:
                        seen = now
                        changed()
                await asyncio.sleep(LOOK_SECONDS)

        self._tasks.append(asyncio.create_task(watch(), context=Context()))

    async def _look(self) -> None:
        with told(self._file):
            same = _version(self._file) == self._version
        if not same:
            await self._in_turn(self._read)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        async with self._turn:
            running = asyncio.ensure_future(asyncio.to_thread(_telling, self._file, work))
            try:
                return await asyncio.shield(running)
            except asyncio.CancelledError:
                with suppress(Exception):
                    await running
                raise

    def _read(self) -> None:
        version = _version(self._file)
        if version == self._version:
            return
        if version is None:  # it was there: what it held must not be taken for gone, nor be written over
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._file))
        memory = MemoryStore()
        with self._file.open("rb") as opened:
            version = _version_of(os.fstat(opened.fileno()))
            found = orjson.loads(opened.read())
        if found["format"] != FORMAT:
            raise ValueError("the format is of another release")
        memory.write({to_key(key): to_value(value) for key, value in found["records"].items()})
        self._memory, self._version = memory, version

    def _write(self, values: Mapping[bytes, bytes]) -> Version:
        records = {to_text(key): to_json(values[key]) for key in sorted(values)}
        text = orjson.dumps({"format": FORMAT, "records": records}, option=orjson.OPT_INDENT_2)
        temporary = self._file.with_name(f"{self._file.name}.new")
        try:
            with temporary.open("wb") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
                version = _version_of(os.fstat(opened.fileno()))
            temporary.replace(self._file)
        except OSError:
            temporary.unlink(missing_ok=True)  # a part of it would take the room that may be missing
            raise
        _sync(self._file.parent)
        return version


def _telling(file: Path, work: Callable[[], T]) -> T:
    with told(file):
        return work()


@contextmanager
def _locked(lock_file: Path) -> Iterator[None]:
    with lock_file.open("ab") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


def _version(file: Path) -> Version | None:
    """Returns what tells the file from an earlier one; None if there is none.

    Raises:
        OSError: If that cannot be known.
    """
    try:
        return _version_of(file.stat())
    except FileNotFoundError:
        return None


def _version_of(found: os.stat_result) -> Version:
    return found.st_ino, found.st_mtime_ns, found.st_size


def _sync(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
