"""Reads: each in a transaction of its own that sees one snapshot, on a connection that belongs to its thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, TypeVar

from sutler.errors import Exhausted
from sutler.store.clock import Clock
from sutler.store.engine import Connection, Engine, Params, Row
from sutler.store.failures import RETRY_AFTER
from sutler.store.transaction import Transaction, run_in

T = TypeVar("T")


class Reader:
    """Reads on the calling thread, with a connection for each thread that calls.

    Args:
        engine: Where connections come from.
        clock: The time of the reads.
        patient: Whether a read may wait for a lock.
    """

    def __init__(self, engine: Engine, clock: Clock, *, patient: bool) -> None:
        self._engine = engine
        self._clock = clock
        self._patient = patient
        self._mine = threading.local()
        self._all: set[Connection] = set()
        self._lock = threading.Lock()

    def read(self, fn: Callable[[Transaction], T]) -> T:
        """Runs ``fn`` in a transaction."""
        return self._on_connection(lambda connection: self._read(connection, fn))

    def one(self, sql: str, params: Params) -> Row | None:
        """Returns the first row of a query, which is a transaction of its own."""
        return self._on_connection(lambda connection: connection.look_up(sql, params))

    def _on_connection(self, fn: Callable[[Connection], T]) -> T:
        """Runs ``fn``; once more on a new connection if the old one turns out to be lost."""
        connection: Connection | None = getattr(self._mine, "connection", None)
        if connection is not None:
            try:
                return fn(connection)
            except Exception:
                if not connection.lost:
                    raise
                self._forget(connection)
        connection = self._engine.reader(patient=self._patient)
        self._mine.connection = connection
        with self._lock:
            self._all.add(connection)
        return fn(connection)

    def close(self) -> None:
        """Closes the connections of all threads; none of them may be reading."""
        with self._lock:
            while self._all:
                self._all.pop().close()

    def _read(self, connection: Connection, fn: Callable[[Transaction], T]) -> T:
        connection.begin_read()
        try:
            return run_in(connection, self._clock.now(), fn)
        finally:
            connection.rollback()

    def _forget(self, connection: Connection) -> None:
        self._mine.connection = None
        with self._lock:
            self._all.discard(connection)
        connection.close()


class ReaderThreads:
    """Reads in a few threads.

    Args:
        reader: Does the reading.
        threads: How many there are; each is started when it is needed.
        max_waiting: How many reads may wait or run.
        name: Whose database it is, for the threads' names.
    """

    def __init__(self, reader: Reader, threads: int, max_waiting: int, name: str) -> None:
        self._reader = reader
        self._max_waiting = max_waiting
        self._open = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"{name}-reader")

    async def read(self, fn: Callable[[Transaction], T]) -> T:
        """Runs ``fn`` in a transaction in one of the threads. Raises as :meth:`one`."""
        return await self._run(self._reader.read, fn)

    async def one(self, sql: str, params: Params) -> Row | None:
        """Returns the first row of a query, run in one of the threads.

        Raises:
            Exhausted: If too many reads wait (OVERLOADED).
        """
        return await self._run(self._reader.one, sql, params)

    async def _run(self, fn: Callable[..., T], *args: Any) -> T:
        if self._open >= self._max_waiting:
            raise Exhausted(
                f"{self._max_waiting} reads wait for the database already; try again",
                reason="OVERLOADED",
                metadata={"queue": "reads", "limit": str(self._max_waiting)},
                retry_after=RETRY_AFTER,
            )
        self._open += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, copy_context().run, fn, *args)
        finally:
            self._open -= 1

    def close(self) -> None:
        """Waits for the reads that run, then closes their connections. Blocks."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._reader.close()
