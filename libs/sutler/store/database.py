"""One database, as services see it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog

from sutler.errors import Unavailable
from sutler.store import failures, schema
from sutler.store.batch import Batches
from sutler.store.changes import Changes
from sutler.store.clock import Clock
from sutler.store.engine import Dialect, Engine, Params, Row
from sutler.store.location import engine_for
from sutler.store.migrations import Migration, migrate
from sutler.store.readers import Reader, ReaderThreads
from sutler.store.transaction import Transaction
from sutler.store.writer import Writer

log = structlog.get_logger("sutler.store")

T = TypeVar("T")

HEALTH_TIMEOUT_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the writer has done since the database was opened.

    Attributes:
        waiting: Changes that wait now.
        changes: Changes that were run.
        failures: Those of them that failed.
        commits: Transactions that were committed.
    """

    waiting: int
    changes: int
    failures: int
    commits: int


class Database:
    """Durable tables in SQLite or PostgreSQL. Made by :func:`open_database`.

    A change or a read is a plain function of a :class:`Transaction`. It sees the database as if nobody else used it,
    must have no effect outside of the transaction, and may be run again. While a change runs all other writers wait, in
    every process, so it must be quick: a second at most.

    Attributes:
        name: Whose database it is.
        dialect: ``sqlite`` or ``postgresql``.
        changes: Wakes who waits for commits.
        now: Returns the time that a change or read would have now, in epoch seconds.
        mark: Returns a number that stays the same only while no process of ours commits, for far less than a read; None
            where or while that is not known.
    """

    def __init__(self, engine: Engine, name: str, clock: Clock, max_waiting: int, threads: tuple[int, int]) -> None:
        self.name = name
        self.dialect: Dialect = engine.dialect
        self.changes = Changes()
        self.now = clock.now
        self.mark = engine.mark
        self._engine = engine
        self._inline = Reader(engine, clock, patient=False) if engine.inline else None
        points, scans = threads
        self._points = ReaderThreads(Reader(engine, clock, patient=True), points, max_waiting, name)
        self._scans = ReaderThreads(Reader(engine, clock, patient=True), scans, max_waiting, name)
        self._batches = Batches(engine, clock)
        self._writer = Writer(self._batches, self.changes.bump, max_waiting, name, inline=engine.inline)
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name=f"{name}-watcher", daemon=True)

    async def write(self, fn: Callable[[Transaction], T], *, quick: bool = False) -> T:
        """Makes a change and returns what ``fn`` returned when it is on disk.

        A quick change takes a few milliseconds at most; on SQLite it runs on the event loop, all others in a thread.
        Changes that wait at the same time share a commit. Once this has been called the change happens, also if the
        caller is cancelled. If it fails, nothing of it is stored, with one exception: if the connection to PostgreSQL
        breaks while COMMIT is under way, nobody knows. Then the error says so, and a repeat under the same
        ``request_id`` (:func:`sutler.store.requests.remember`) is safe: it happens once.

        Raises:
            Exhausted: If too many changes wait (OVERLOADED), or the disk is full (STORAGE_FULL).
            Unavailable: If the database does not answer or is locked too long (STORAGE_UNAVAILABLE), or is closed
                (SHUTTING_DOWN).
            DataLoss: If the database is damaged.
            StatementError: If a statement is wrong.
            Exception: Whatever ``fn`` raises.
        """
        return await self._writer.submit(fn, quick=quick)

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Runs a point read: a few rows by their keys, as of one moment.

        On SQLite it runs at once on the event loop, so it must be short; on PostgreSQL in a thread.

        Raises:
            Exhausted: If too many reads wait (OVERLOADED).
            Unavailable: If the database does not answer.
            DataLoss: If the database is damaged.
            StatementError: If a statement is wrong, or writes.
            Exception: Whatever ``fn`` raises.
        """
        if self._inline is None:
            return await self._points.read(fn)
        try:
            return self._inline.read(fn)
        except Unavailable as error:
            if error.metadata.get("cause") != failures.LOCKED:
                raise
        return await self._points.read(fn)

    async def one(self, sql: str, params: Params = ()) -> Row | None:
        """Returns the first row of one query, or None; runs where :meth:`read` does, for less. Raises as that does."""
        if self._inline is None:
            return await self._points.one(sql, params)
        try:
            return self._inline.one(sql, params)
        except Unavailable as error:
            if error.metadata.get("cause") != failures.LOCKED:
                raise
        return await self._points.one(sql, params)

    async def scan(self, fn: Callable[[Transaction], T]) -> T:
        """Runs a longer read, as of one moment, in a thread; it never waits for the writer. Raises as :meth:`read`."""
        return await self._scans.read(fn)

    async def health(self) -> None:
        """Returns if the store answers.

        Raises:
            Unavailable: If it does not, or not in time.
            DataLoss: If it is damaged.
        """
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_SECONDS):
                await self.read(lambda tx: tx.one("SELECT version FROM schema_versions LIMIT 1"))
        except TimeoutError as error:
            raise failures.unavailable("no answer in time") from error

    def statistics(self) -> Statistics:
        """Returns what the writer has done, for metrics."""
        return Statistics(self._writer.waiting, self._writer.changes, self._writer.failures, self._batches.commits)

    def _start(self) -> None:
        self._writer.start()
        self._watcher.start()

    def _close(self) -> None:
        """Makes the changes that wait, then ends all threads and connections. Blocks."""
        self._writer.close()
        self._stop.set()
        self.changes.close()
        self._watcher.join()
        if self._inline is not None:
            self._inline.close()
        self._points.close()
        self._scans.close()
        self._engine.close()

    def _watch(self) -> None:
        """Looks for foreign commits, and begins again if that fails: meanwhile something may have been committed."""
        while not self._stop.is_set():
            try:
                self._engine.watch(self.changes.bump, self.changes.wanted, self._stop)
                return
            except Exception as error:
                log.warning("store.watch_failed", database=self.name, error=str(error))
            self._stop.wait(1)


@asynccontextmanager
async def open_database(
    url: str,
    *,
    name: str,
    migrations: Mapping[str, Sequence[Migration]],
    max_waiting: int = 10_000,
    lock_timeout: timedelta = timedelta(seconds=5),
    read_threads: int = 4,
    scan_threads: int = 2,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[Database]:
    """Opens a database, brings its tables up to date, and closes it at the end.

    Args:
        url: Where it is: see :data:`sutler.store.location.FORMS`.
        name: Whose it is, such as ``cache``; the schema on PostgreSQL, unless the URL says ``?schema=…``.
        migrations: The service's tables, by component. The library's own (component ``sutler``) are added.
        max_waiting: How many changes, and how many reads, may wait.
        lock_timeout: How long to wait for writers of other processes.
        read_threads: How many threads serve point reads, each with a connection; only on PostgreSQL.
        scan_threads: How many threads serve scans, each with a connection.
        clock: Returns epoch seconds.

    Raises:
        FailedPrecondition: If the URL, a folder, a permission or the version of the tables is wrong.
        Unavailable: If the database does not answer.
        DataLoss: If it is damaged.
    """
    engine = engine_for(url, name=name, lock_timeout=lock_timeout)
    try:
        await asyncio.to_thread(engine.prepare)
        components = {schema.COMPONENT: schema.MIGRATIONS, **migrations}
        await asyncio.to_thread(lambda: migrate(engine, components, name=name))
    except BaseException:
        engine.close()
        raise
    database = Database(engine, name, Clock(clock), max_waiting, (read_threads, scan_threads))
    database._start()
    try:
        yield database
    finally:
        await asyncio.to_thread(database._close)
