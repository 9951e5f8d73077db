"""What a change or a read is given: one consistent view of the database."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable, Sequence
from typing import Any, TypeVar

from sutler.store.engine import Connection, Dialect, Params, Row, StatementError
from sutler.store.scratch import Scratch

T = TypeVar("T")

READS = ("SELECT", "WITH RECURSIVE")


class Transaction:
    """One view of the database, as if nobody else used it. Made by the store, and usable only within one function.

    SQL is what SQLite and PostgreSQL both understand, with ``?`` for parameters:

    * values are None, int, float, str and bytes, and come back as such; a bool is stored as 0 or 1;
    * columns are TEXT, BIGINT, DOUBLE PRECISION or BYTEA; text compares by code point, LIKE minds the case, and is
      written with ``ESCAPE``;
    * a name that may conflict is inserted with ``ON CONFLICT``: a statement that fails ends the whole change, also if
      the function catches the error;
    * ``dialect`` is there for the rare statement that has no common form;
    * the table of sequences is the store's own: within a change it does not tell yet what the batch has drawn.

    Attributes:
        dialect: ``sqlite`` or ``postgresql``.
        now: The time of this change or read in epoch seconds; never less than that of an earlier one in this process.
        found: What changes of the same transaction found that the next need not look up again; whoever changes it in
            the database takes it out.
    """

    __slots__ = ("_connection", "_failure", "_scratch", "dialect", "found", "now")

    def __init__(self, connection: Connection, now: float, scratch: Scratch | None) -> None:
        self.dialect: Dialect = connection.dialect
        self.now = now
        self._connection = connection
        self._scratch = scratch
        self.found = {} if scratch is None else scratch.found
        self._failure: Exception | None = None

    @property
    def hurried(self) -> bool:
        """Whether a change need not look whether a key that it inserts is free.

        If it is taken, nothing of the batch stands, and all of it runs again without hurry; so it does if the change
        fails, because it may fail for what it took for granted.
        """
        if self._scratch is None or not self._scratch.hurried:
            return False
        self._scratch.touched = True
        return True

    def execute(self, sql: str, params: Params = ()) -> int:
        """Runs an INSERT, UPDATE or DELETE and returns how many rows it changed.

        Raises:
            ConstraintError: If it breaks a constraint.
            StatementError: If the statement or a value is wrong, or a read writes.
            SutlerError: If the store cannot do it (full, locked, gone, damaged).
        """
        return self._guard(self._connection.execute, sql, params, writes=True)

    def insert(self, table: str, columns: str, *rows: Params) -> None:
        """Inserts rows that break no constraint, unless the change is hurried.

        They travel together, at the latest before the next statement, so their failure may show there, or at the end.

        Args:
            table: The table.
            columns: Its columns, with commas between them.
            rows: Their values.

        Raises:
            StatementError: If this is a read.
        """
        if self._failure is not None:
            raise self._failure
        if self._scratch is None:
            raise StatementError("a read cannot insert")
        self._scratch.insert((table, columns), rows)

    def send(self, sql: str, params: Params = ()) -> None:
        """Runs an INSERT, UPDATE or DELETE of which nobody needs to know how many rows it changed.

        On PostgreSQL it travels with the next statement, so its failure may show there, or at the end of the change.
        """
        self._guard(self._connection.send, sql, params, writes=True)

    def leave(self, key: Hashable, sql: str, params: Params) -> None:
        """Leaves an INSERT, UPDATE or DELETE for the end of the batch, where of several with one key the last is run.

        For what every change of a batch writes anew, such as totals. Until then no statement sees it: whoever reads or
        changes the same rows asks :meth:`left`, or catches up first.

        Args:
            key: What it is about.
            sql: The statement.
            params: Its parameters.

        Raises:
            StatementError: If this is a read.
        """
        if self._failure is not None:
            raise self._failure
        if self._scratch is None:
            raise StatementError("a read cannot leave a statement")
        self._scratch.leave(key, sql, params)

    def left(self, key: Hashable) -> Params | None:
        """Returns the parameters of the statement that was left under a key; None if there is none."""
        return None if self._scratch is None else self._scratch.left(key)

    def catch_up(self) -> None:
        """Runs the statements that were left, so that all others see what they do. Raises as :meth:`execute`."""
        scratch = self._scratch
        if scratch is not None:
            self._guard(lambda *_: scratch.catch_up(self._connection), "", (), writes=True)

    def one(self, sql: str, params: Params = ()) -> Row | None:
        """Returns the first row, or None. Also for ``INSERT … RETURNING``. Raises as :meth:`execute`."""
        return self._guard(self._connection.one, sql, params, writes=not sql.startswith(READS))

    def all(self, sql: str, params: Params = ()) -> list[Row]:
        """Returns every row; bound it with LIMIT. Raises as :meth:`execute`."""
        return self._guard(self._connection.all, sql, params, writes=not sql.startswith(READS))

    def many(self, sql: str, rows: Sequence[Params]) -> None:
        """Runs one statement for each of ``rows``, as :meth:`send` does."""
        self._guard(self._connection.many, sql, rows, writes=True)

    def draw(self, name: str, count: int = 1) -> int:
        """Draws numbers from a sequence: see :func:`sutler.store.sequences.draw`. Raises as :meth:`execute`."""
        scratch = self._scratch
        if scratch is None:
            raise StatementError("a read cannot draw numbers")
        if self._failure is not None:
            raise self._failure
        try:
            return scratch.draw(self._connection, name, count)
        except Exception as error:
            self._failed(error)
            raise

    def _guard(self, method: Callable[[str, Any], T], first: str, second: Any, *, writes: bool = False) -> T:
        if self._failure is not None:
            raise self._failure
        scratch = self._scratch
        try:
            if scratch is not None:
                scratch.flush(self._connection)
                scratch.touched = scratch.touched or writes
            return method(first, second)
        except Exception as error:
            self._failed(error)
            raise

    def _failed(self, error: Exception) -> None:
        self._failure = error
        if self._scratch is not None:
            self._scratch.touched = True


def run_in(connection: Connection, now: float, fn: Callable[[Transaction], T], scratch: Scratch | None = None) -> T:
    """Runs ``fn`` in the transaction that is open on ``connection``; the store's own way to make a Transaction.

    Args:
        connection: The connection.
        now: The time of the change or read.
        fn: What to do.
        scratch: What the changes of the batch share; None for a read.

    Raises:
        TypeError: If ``fn`` is a coroutine function.
        Exception: What ``fn`` raised; if it hid the failure of a statement, that failure.
    """
    tx = Transaction(connection, now, scratch)
    try:
        result = fn(tx)
        if tx._failure is not None:
            raise tx._failure
    finally:
        tx._failure = RuntimeError("this transaction has ended: what it is given for must end with the function")
    if isinstance(result, Coroutine):
        result.close()
        raise TypeError(f"a change or read must be a plain function, but {fn!r} is async")
    return result
