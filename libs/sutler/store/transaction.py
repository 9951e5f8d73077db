"""What a change or a read is given: one consistent view of the database."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sutler.store.engine import Connection, Dialect, Params, Row, StatementError
from sutler.store.scratch import Scratch

T = TypeVar("T")


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

    def execute(self, sql: str, params: Params = ()) -> int:
        """Runs an INSERT, UPDATE or DELETE and returns how many rows it changed.

        Raises:
            ConstraintError: If it breaks a constraint.
            StatementError: If the statement or a value is wrong, or a read writes.
            SutlerError: If the store cannot do it (full, locked, gone, damaged).
        """
        return self._guard(self._connection.execute, sql, params)

    def send(self, sql: str, params: Params = ()) -> None:
        """Runs an INSERT, UPDATE or DELETE of which nobody needs to know how many rows it changed.

        On PostgreSQL it travels with the next statement, so its failure may show there, or at the end of the change.
        """
        self._guard(self._connection.send, sql, params)

    def one(self, sql: str, params: Params = ()) -> Row | None:
        """Returns the first row, or None. Also for ``INSERT … RETURNING``. Raises as :meth:`execute`."""
        return self._guard(self._connection.one, sql, params)

    def all(self, sql: str, params: Params = ()) -> list[Row]:
        """Returns every row; bound it with LIMIT. Raises as :meth:`execute`."""
        return self._guard(self._connection.all, sql, params)

    def many(self, sql: str, rows: Sequence[Params]) -> None:
        """Runs one statement for each of ``rows``, as :meth:`send` does."""
        self._guard(self._connection.many, sql, rows)

    def draw(self, name: str, count: int = 1) -> int:
        """Draws numbers from a sequence: see :func:`sutler.store.sequences.draw`. Raises as :meth:`execute`."""
        scratch = self._scratch
        if scratch is None:
            raise StatementError("a read cannot draw numbers")
        return self._guard(lambda name, count: scratch.draw(self._connection, name, count), name, count)

    def _guard(self, method: Callable[[str, Any], T], first: str, second: Any) -> T:
        if self._failure is not None:
            raise self._failure
        try:
            return method(first, second)
        except Exception as error:
            self._failure = error
            raise


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
