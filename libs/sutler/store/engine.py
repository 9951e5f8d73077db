"""The port of the store: what an engine must offer. SQLite and PostgreSQL implement it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

Dialect = Literal["sqlite", "postgresql"]
Row = tuple[Any, ...]
Value = str | bytes | int | float | None
Params = Sequence[Value]


class StatementError(Exception):
    """A statement or a value is wrong, or a read writes: a fault of the program, so INTERNAL for callers."""


class ConstraintError(StatementError):
    """A statement breaks a constraint of its table. Where that can happen in earnest, use ``ON CONFLICT``."""


class OutcomeUnknownError(Exception):
    """The connection broke while COMMIT was under way: the changes may or may not be stored.

    Args:
        error: What the callers are told.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Connection(Protocol):
    """One connection, used by one thread at a time. Every error it raises is one of ours, never the driver's."""

    dialect: Dialect

    @property
    def lost(self) -> bool:
        """Whether the connection is gone, so that only a new one helps."""
        ...

    @property
    def in_transaction(self) -> bool:
        """Whether the transaction is still open; engines end it on their own after some errors."""
        ...

    def begin(self, *, patient: bool = True) -> None:
        """Opens the transaction for changes when it is this writer's turn.

        Args:
            patient: Whether to wait for it.

        Raises:
            Unavailable: If the turn does not come in time, or the connection is lost; maybe only from what follows,
                :meth:`all` or :meth:`settle`.
        """
        ...

    def begin_read(self) -> None:
        """Opens a transaction that sees one snapshot and cannot write."""
        ...

    def look_up(self, sql: str, params: Params) -> Row | None:
        """Returns the first row of a query outside of a transaction, or None."""
        ...

    def savepoint(self) -> None:
        """Marks where the next change starts. What came before it stays."""
        ...

    def undo(self) -> None:
        """Takes back all since :meth:`savepoint`."""
        ...

    def commit(self) -> None:
        """Makes the changes durable.

        Raises:
            OutcomeUnknownError: If nobody can tell whether they are.
            Exception: If they certainly are not.
        """
        ...

    def rollback(self) -> None:
        """Ends the transaction without effect; does not fail."""
        ...

    def close(self) -> None:
        """Ends the connection; does not fail."""
        ...

    def execute(self, sql: str, params: Params) -> int:
        """Runs a statement and returns how many rows it changed."""
        ...

    def send(self, sql: str, params: Params) -> None:
        """Runs a statement; its failure may be raised by the next one, or by :meth:`settle`."""
        ...

    def settle(self) -> None:
        """Returns when all that was sent has been done, or raises the first failure."""
        ...

    def insert(self, table: str, columns: str, rows: Sequence[Params]) -> None:
        """Inserts rows, at least one, as :meth:`send` does."""
        ...

    def one(self, sql: str, params: Params) -> Row | None:
        """Returns the first row, or None."""
        ...

    def all(self, sql: str, params: Params) -> list[Row]:
        """Returns every row."""
        ...

    def many(self, sql: str, rows: Sequence[Params]) -> None:
        """Runs a statement for each of ``rows``, as :meth:`send` does."""
        ...


class Engine(Protocol):
    """One database of one engine.

    Attributes:
        dialect: Which engine.
        max_batch: How many changes may share a commit.
        inline: Whether point reads and quick changes are so fast that they run on the event loop.
        preamble: Statements before any migration.
    """

    dialect: Dialect
    max_batch: int
    inline: bool
    preamble: Sequence[str]

    def prepare(self) -> None:
        """Checks that the database can be used.

        Raises:
            SutlerError: If not; says what to do about it.
        """
        ...

    def writer(self) -> Connection:
        """Returns a new connection for changes."""
        ...

    def reader(self, *, patient: bool) -> Connection:
        """Returns a new connection for reads.

        Args:
            patient: Whether it may wait for a lock; on the event loop it may not.
        """
        ...

    def ddl(self, sql: str) -> str:
        """Returns a statement of a migration in the engine's own types."""
        ...

    def watch(self, changed: Callable[[], None], wanted: threading.Event, stop: threading.Event) -> None:
        """Calls ``changed`` after commits of other processes, until ``stop``; runs in a thread of its own.

        Args:
            changed: To be called once when watching begins, and after each commit that may be a foreign one.
            wanted: Set while somebody waits for commits.
            stop: Set, after which ``wanted`` is set too, when the thread must end.
        """
        ...

    def mark(self) -> int | None:
        """Returns a number that stays the same only while nobody commits; None if that is not known."""
        ...

    def close(self) -> None:
        """Frees what the engine itself holds."""
        ...
