"""One SQLite connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress

from sutler.store.engine import Dialect, Params, Row
from sutler.store.sql import inserts
from sutler.store.sqlite.commits import Commits
from sutler.store.sqlite.errors import mapped

PassThrough = Callable[[Callable[[], object], bool], None]
"""Calls its first argument when it is this process's turn; the second says whether to wait for that."""


class SqliteConnection:
    """Runs statements on one connection of the sqlite3 module, which is in autocommit mode.

    Args:
        raw: The connection.
        line: Takes the write lock with its argument when it is this process's turn; None for a reader.
        commits: Counts its commits; None for a reader.
        on_close: Called when the connection is closed.
    """

    dialect: Dialect = "sqlite"
    lost = False

    def __init__(
        self,
        raw: sqlite3.Connection,
        line: PassThrough | None = None,
        commits: Commits | None = None,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._raw = raw
        self._line = line
        self._commits = commits
        self._on_close = on_close
        self._reading = line is None
        self._marked = False

    @property
    def in_transaction(self) -> bool:
        """Whether the transaction is still open; SQLite rolls back on its own when the disk is full, for one."""
        return self._raw.in_transaction

    def begin(self, *, patient: bool = True) -> None:
        """Opens the transaction for changes."""
        if self._line is None:
            raise TypeError("this connection only reads")
        self._marked = False
        try:
            self._line(lambda: self._raw.execute("BEGIN IMMEDIATE"), patient)
        except sqlite3.Error as error:
            raise mapped(error) from error

    def begin_read(self) -> None:
        """Opens a transaction whose snapshot is that of its first statement."""
        self._control("BEGIN")

    def look_up(self, sql: str, params: Params) -> Row | None:
        """Returns the first row of a query outside of a transaction, or None."""
        return self.one(sql, params)

    def savepoint(self) -> None:
        """Marks where the next change starts."""
        if self._marked:
            self._control("RELEASE change")
        self._control("SAVEPOINT change")
        self._marked = True

    def undo(self) -> None:
        """Takes back all since :meth:`savepoint`."""
        self._control("ROLLBACK TO change")

    def commit(self) -> None:
        """Commits; with synchronous=FULL the WAL is synced before this returns."""
        if self._commits is None:
            self._control("COMMIT")
        else:
            self._commits.count(lambda: self._control("COMMIT"))

    def rollback(self) -> None:
        """Ends the transaction without effect."""
        if self._raw.in_transaction:
            with suppress(sqlite3.Error):
                self._raw.execute("ROLLBACK")

    def close(self) -> None:
        """Ends the connection."""
        with suppress(sqlite3.Error):
            self._raw.close()
        self._on_close()

    def execute(self, sql: str, params: Params) -> int:
        """Runs a statement and returns how many rows it changed."""
        try:
            return self._raw.execute(sql, params).rowcount
        except sqlite3.Error as error:
            raise mapped(error, reading=self._reading) from error

    def send(self, sql: str, params: Params) -> None:
        """Runs a statement."""
        self.execute(sql, params)

    def insert(self, table: str, columns: str, rows: Sequence[Params]) -> None:
        """Inserts rows."""
        for sql, values in inserts(table, columns, rows):
            self.execute(sql, values)

    def settle(self) -> None:
        """Returns at once: every statement has been done when it returns."""

    def one(self, sql: str, params: Params) -> Row | None:
        """Returns the first row, or None."""
        try:
            cursor = self._raw.execute(sql, params)
            row: Row | None = cursor.fetchone()
            cursor.close()
            return row
        except sqlite3.Error as error:
            raise mapped(error, reading=self._reading) from error

    def all(self, sql: str, params: Params) -> list[Row]:
        """Returns every row."""
        try:
            return self._raw.execute(sql, params).fetchall()
        except sqlite3.Error as error:
            raise mapped(error, reading=self._reading) from error

    def many(self, sql: str, rows: Sequence[Params]) -> None:
        """Runs a statement for each of ``rows``."""
        try:
            self._raw.executemany(sql, rows)
        except sqlite3.Error as error:
            raise mapped(error, reading=self._reading) from error

    def _control(self, sql: str) -> None:
        try:
            self._raw.execute(sql)
        except sqlite3.Error as error:
            raise mapped(error) from error
