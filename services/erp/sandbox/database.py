"""The SQLite database: one writer at a time, readers beside it, and an answer only after the data are on disk."""

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from services.erp.sandbox.orm.sql import add_functions

VERSION = 1
MEMORY = ":memory:"


class UnusableFile(Exception):
    """The file cannot be opened, is no database, or was written by something else."""


class Database:
    """A database file, or one in memory that all threads share and that dies with the process.

    With a file, readers see the last committed state and never wait for the writer. In memory there is one connection,
    so readers and writers take turns. UnusableFile if the file cannot be used.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._writing = threading.RLock()
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        try:
            if path != MEMORY:
                Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect()
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise UnusableFile(f"cannot use {path}: {error}") from error

    def fill(self, statements: Iterator[str], seed: Callable[[sqlite3.Connection], None]) -> bool:
        """Make tables and first data in one transaction if the database is new; tell whether it was.

        UnusableFile if it is not new and not of this version.
        """
        with self.write() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
            if version == VERSION:
                return False
            if version or tables:
                raise UnusableFile(f"{self._path} is not a database of this version of the sandbox; use another file")
            connection.execute("PRAGMA defer_foreign_keys = ON")
            for statement in statements:
                connection.execute(statement)
            seed(connection)
            connection.execute(f"PRAGMA user_version = {VERSION}")
            return True

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give a connection that sees one unchanging state."""
        if self._path == MEMORY:
            with self._writing:
                yield self._writer
            return
        connection: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if connection is None:
            connection = self._local.reader = self._connect()
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            connection.execute("ROLLBACK")

    @contextmanager
    def write(self, committed: Callable[[sqlite3.Connection], None] | None = None) -> Iterator[sqlite3.Connection]:
        """Give the writing connection: all is committed, or, after an exception, nothing.

        `committed` runs right after the commit, before the next writer may begin.
        """
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            if committed is not None:
                committed(self._writer)

    def close(self) -> None:
        """Close every connection."""
        with self._writing:
            for connection in self._all:
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10, isolation_level=None, check_same_thread=False)
        self._all.append(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        add_functions(connection)
        return connection
