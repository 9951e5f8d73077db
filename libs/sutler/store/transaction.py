"""What a change or a read is given: one consistent view of the database."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from sutler.store.engine import Connection, Dialect, Params, Row

T = TypeVar("T")


class Transaction:
    """One view of the database, as if nobody else used it. Made by the store, and usable only within one function.

    SQL is what SQLite and PostgreSQL both understand, with ``?`` for parameters:

    * values are None, int, float, str and bytes, and come back as such; a bool is stored as 0 or 1;
    * columns are TEXT, BIGINT, DOUBLE PRECISION or BYTEA; text compares by code point, LIKE minds the case, and is
      written with ``ESCAPE``;
    * a name that may conflict is inserted with ``ON CONFLICT``: a statement that fails ends the whole change, also if
      the function catches the error;
    * ``dialect`` is there for the rare statement that has no common form.

    Attributes:
        dialect: ``sqlite`` or ``postgresql``.
        now: The time of this change or read in epoch seconds; never less than that of an earlier one in this process.
    """

    __slots__ = ("_connection", "_failure", "dialect", "now")

    def __init__(self, connection: Connection, now: float) -> None:
        self.dialect: Dialect = connection.dialect
        self.now = now
        self._connection = connection
        self._failure: Exception | None = None

    def execute(self, sql: str, params: Params = ()) -> int:
        """Runs an INSERT, UPDATE or DELETE and returns how many rows it changed.

        Raises:
            ConstraintError: If it breaks a constraint.
            StatementError: If the statement or a value is wrong, or a read writes.
            SutlerError: If the store cannot do it (full, locked, gone, damaged).
        """
        return self._guard(self._connection.execute, sql, params)

    def one(self, sql: str, params: Params = ()) -> Row | None:
        """Returns the first row, or None. Also for ``INSERT … RETURNING``. Raises as :meth:`execute`."""
        return self._guard(self._connection.one, sql, params)

    def all(self, sql: str, params: Params = ()) -> list[Row]:
        """Returns every row; bound it with LIMIT. Raises as :meth:`execute`."""
        return self._guard(self._connection.all, sql, params)

    def many(self, sql: str, rows: Sequence[Params]) -> None:
        """Runs one statement for each of ``rows``. Raises as :meth:`execute`."""
        self._guard(self._connection.many, sql, rows)

    def _guard(self, method: Callable[[str, Any], T], sql: str, params: Any) -> T:
        if self._failure is not None:
            raise self._failure
        try:
            return method(sql, params)
        except Exception as error:
            self._failure = error
            raise


def run_in(connection: Connection, now: float, fn: Callable[[Transaction], T]) -> T:
    """Runs ``fn`` in the transaction that is open on ``connection``; the store's own way to make a Transaction.

    Raises:
        TypeError: If ``fn`` is a coroutine function.
        Exception: What ``fn`` raised; if it hid the failure of a statement, that failure.
    """
    tx = Transaction(connection, now)
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
