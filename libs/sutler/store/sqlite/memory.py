"""A SQLite database in memory: gone with the process, for tests and trials."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence

from sutler.store import failures
from sutler.store.engine import Dialect, Params, Row
from sutler.store.sql import sqlite_ddl
from sutler.store.sqlite.connection import SqliteConnection
from sutler.store.sqlite.engine import connect


class MemoryEngine:
    """One connection that readers and the writer use in turn.

    A shared cache would let them in together, but its table locks make readers fail instead of wait
    (https://sqlite.org/sharedcache.html).
    """

    dialect: Dialect = "sqlite"
    max_batch = 256
    inline = True
    preamble: Sequence[str] = ()

    def __init__(self) -> None:
        self._raw = connect(":memory:", 0)
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Has nothing to check."""

    def writer(self) -> SqliteConnection:
        """Returns the connection, for changes."""
        return _Shared(self._raw, self._lock, reading=False)

    def reader(self, *, patient: bool) -> SqliteConnection:
        """Returns the connection, for reads; every read waits while a change runs."""
        return _Shared(self._raw, self._lock, reading=True)

    def ddl(self, sql: str) -> str:
        """Returns a statement of a migration for STRICT tables."""
        return sqlite_ddl(sql)

    def watch(self, changed: Callable[[], None], wanted: threading.Event, stop: threading.Event) -> None:
        """Returns at once: no other process sees this database."""

    def mark(self) -> int | None:
        """Returns None: commits are not counted."""
        return None

    def close(self) -> None:
        """Forgets all data."""
        self._raw.close()


class _Shared(SqliteConnection):
    """Holds the lock from the beginning to the end of each transaction."""

    def __init__(self, raw: sqlite3.Connection, lock: threading.Lock, *, reading: bool) -> None:
        super().__init__(raw, None if reading else _at_once)
        self._lock = lock
        self._holds = False

    def begin(self, *, patient: bool = True) -> None:
        if not self._take(wait=patient):
            raise failures.unavailable(failures.LOCKED)
        super().begin()

    def begin_read(self) -> None:
        self._take()
        self._control("PRAGMA query_only = ON")
        super().begin_read()

    def look_up(self, sql: str, params: Params) -> Row | None:
        self.begin_read()
        try:
            return self.one(sql, params)
        finally:
            self.rollback()

    def commit(self) -> None:
        super().commit()
        self._give()

    def rollback(self) -> None:
        super().rollback()
        self._give()

    def close(self) -> None:
        """Leaves the shared connection open."""
        self.rollback()

    def _take(self, *, wait: bool = True) -> bool:
        self._holds = self._lock.acquire(blocking=wait)
        return self._holds

    def _give(self) -> None:
        if self._holds:
            self._control("PRAGMA query_only = OFF")
            self._holds = False
            self._lock.release()


def _at_once(begin: Callable[[], object], patient: bool) -> None:
    begin()
