"""One PostgreSQL connection."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress

import psycopg
from psycopg.pq import TransactionStatus

from sutler.store import failures
from sutler.store.engine import Dialect, OutcomeUnknownError, Params, Row
from sutler.store.postgresql.errors import mapped
from sutler.store.sql import inserts, postgresql_statement

_DISCARDING = ("ALTER", "DROP")
"""After these and a ROLLBACK, psycopg deallocates all prepared statements, but only behind the statement that it sends
next, with what that has prepared."""

_NOTHING = "SELECT"
"""Prepares nothing, so it is what follows a discarding statement; after a ROLLBACK, BEGIN does as well."""


class PostgresqlConnection:
    """Runs statements on one connection of psycopg, which is in autocommit mode.

    All writers of all processes wait for each other, so a round trip of one is what costs. A writer's connection is
    therefore in pipeline mode, and what needs no answer of its own (a savepoint, the notification of a commit) travels
    with the statement that follows. Readers overlap anyway, and without a pipeline they use less of the processor.

    Args:
        raw: The connection.
        opening: What opens the transaction for changes; nothing for a reader.
        before_commit: What goes before COMMIT.
    """

    dialect: Dialect = "postgresql"

    def __init__(self, raw: psycopg.Connection[Row], opening: Sequence[str] = (), before_commit: str = "") -> None:
        self._raw = raw
        self._opening = opening
        self._before_commit = before_commit
        self._reading = not opening
        self._marked = False
        self._sent = False
        self._stack = ExitStack()
        self._pipeline = None if self._reading else self._stack.enter_context(raw.pipeline())
        if self._pipeline is not None:
            # psycopg would take a statement for prepared that it begins to prepare at a later use, though the server
            # skips all that follows a failure in the pipeline. What it prepares at the first use it checks.
            raw.prepare_threshold = 0

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._raw.closed

    @property
    def in_transaction(self) -> bool:
        """Whether the transaction is still open, maybe waiting for :meth:`undo`."""
        status = self._raw.info.transaction_status
        return status not in (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)

    def begin(self, *, patient: bool = True) -> None:
        """Opens the transaction and takes the lock of all writers, which PostgreSQL grants in order of arrival."""
        self._marked = False
        self._control(*self._opening, wait=False)
        self._sent = True

    def begin_read(self) -> None:
        """Opens a transaction whose snapshot is that of its first statement."""
        self._control("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", wait=False)

    def look_up(self, sql: str, params: Params) -> Row | None:
        """Returns the first row of a query outside of a transaction, or None."""
        return self.one(sql, params)

    def savepoint(self) -> None:
        """Marks where the next change starts."""
        if self._marked:
            self._control("RELEASE change", wait=False)
        self._control("SAVEPOINT change", wait=False)
        self._marked = True

    def undo(self) -> None:
        """Takes back all since :meth:`savepoint`."""
        self._control("ROLLBACK TO change")
        self._control(_NOTHING, wait=False)

    def commit(self) -> None:
        """Commits; the server answers when its log is on disk.

        Raises:
            OutcomeUnknownError: If the connection broke before the answer.
        """
        try:
            self._control(self._before_commit, "COMMIT")
        except Exception as error:
            if self.lost:
                raise OutcomeUnknownError(failures.outcome_unknown()) from error
            raise

    def rollback(self) -> None:
        """Ends the transaction without effect."""
        if self.lost:
            return
        try:
            self._control("ROLLBACK")
        except Exception:
            self._raw.close()

    def close(self) -> None:
        """Ends the connection; the server rolls back what was open."""
        with suppress(psycopg.Error):
            self._stack.close()
        self._raw.close()

    def execute(self, sql: str, params: Params) -> int:
        """Runs a statement and returns how many rows it changed."""
        return self._run(sql, params).rowcount

    def send(self, sql: str, params: Params) -> None:
        """Runs a statement; it travels with the next one."""
        try:
            self._raw.execute(postgresql_statement(sql), params)
            self._sent = True
        except psycopg.Error as error:
            raise self._failure(error, reading=self._reading) from error

    def insert(self, table: str, columns: str, rows: Sequence[Params]) -> None:
        """Inserts rows; what is sent travels with the next statement."""
        for sql, values in inserts(table, columns, rows):
            self.send(sql, values)

    def settle(self) -> None:
        """Waits for what was sent."""
        if self._sent:
            self._control()

    def one(self, sql: str, params: Params) -> Row | None:
        """Returns the first row, or None."""
        cursor = self._run(sql, params)
        return cursor.fetchone() if cursor.description else None

    def all(self, sql: str, params: Params) -> list[Row]:
        """Returns every row."""
        cursor = self._run(sql, params)
        return cursor.fetchall() if cursor.description else []

    def many(self, sql: str, rows: Sequence[Params]) -> None:
        """Runs a statement for each of ``rows``; they travel with the next one."""
        try:
            self._raw.cursor().executemany(postgresql_statement(sql), rows)
            self._sent = True
        except psycopg.Error as error:
            raise self._failure(error, reading=self._reading) from error

    def _run(self, sql: str, params: Params) -> psycopg.Cursor[Row]:
        try:
            cursor = self._raw.execute(postgresql_statement(sql), params)
            self._settle()
            if (cursor.statusmessage or "").startswith(_DISCARDING):
                self._control(_NOTHING, wait=False)
            return cursor
        except psycopg.Error as error:
            raise self._failure(error, reading=self._reading) from error

    def _control(self, *statements: str, wait: bool = True) -> None:
        try:
            for statement in statements:
                self._raw.execute(statement, prepare=False)
            if wait:
                self._settle()
        except psycopg.Error as error:
            raise self._failure(error) from error

    def _failure(self, error: psycopg.Error, *, reading: bool = False) -> Exception:
        """Says why a statement failed; a server that ends the session says so before its end of the connection."""
        if error.diag.severity_nonlocalized in ("FATAL", "PANIC"):
            self._raw.close()
        return mapped(error, reading=reading)

    def _settle(self) -> None:
        """Waits for what was sent."""
        self._sent = False
        if self._pipeline is not None:
            self._pipeline.sync()
