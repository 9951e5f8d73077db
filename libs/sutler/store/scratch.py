"""What the changes of one transaction share."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from sutler.store.engine import Connection, Params, Row

Into = tuple[str, str]
"""A table, and the columns that its new rows fill."""

Left = tuple[str, Params]
"""A statement, and its parameters."""


class Scratch:
    """What changes have drawn and inserted and the database need not know before the commit, and what they found.

    Attributes:
        found: What a change has found and the next need not look up again. Whoever changes it in the database takes it
            out; when a change is undone, or what was left is written, all is forgotten.
        hurried: Whether the changes presume that nothing is in the way of what they insert.
        touched: Whether the change since :meth:`mark` did what :meth:`undo` does not take back, or presumed something.
    """

    def __init__(self, *, hurried: bool = False) -> None:
        self.found: dict[Hashable, Any] = {}
        self.hurried = hurried
        self.touched = False
        self._last: dict[str, int] = {}
        self._marked: dict[str, int] = {}
        self._rows: dict[Into, list[Params]] = {}
        self._kept: dict[Into, int] = {}
        self._left: dict[Hashable, Left] = {}
        self._left_before = self._left

    @property
    def sequences(self) -> Iterable[str]:
        """The sequences that were drawn from or loaded."""
        return self._last

    def load(self, connection: Connection, names: Sequence[str]) -> None:
        """Reads how far sequences are that are likely to be drawn from."""
        rows: Sequence[Row] = ()
        if names:
            marks = ", ".join("?" * len(names))
            rows = connection.all(f"SELECT name, value FROM sequences WHERE name IN ({marks})", names)
        self._last = {name: int(value) for name, value in rows}

    def mark(self) -> None:
        """Marks where the next change starts."""
        self.touched = False
        self._marked = dict(self._last)
        self._kept = {into: len(rows) for into, rows in self._rows.items()}
        self._left_before = self._left

    def undo(self) -> None:
        """Takes back what was drawn and inserted since :meth:`mark`, and forgets what was found."""
        self._last = dict(self._marked)
        self._rows = {into: rows[: self._kept[into]] for into, rows in self._rows.items() if into in self._kept}
        self._left = self._left_before
        self.found.clear()

    def draw(self, connection: Connection, name: str, count: int) -> int:
        """Draws numbers from a sequence and returns the last."""
        last = self._last.get(name)
        if last is None:
            row = connection.one("SELECT value FROM sequences WHERE name = ?", (name,))
            last = 0 if row is None else int(row[0])
        self._last[name] = last + count
        return last + count

    def insert(self, into: Into, rows: Iterable[Params]) -> None:
        """Keeps new rows until :meth:`flush`."""
        self._rows.setdefault(into, []).extend(rows)

    def leave(self, key: Hashable, sql: str, params: Params) -> None:
        """Leaves a statement for the end, in the place of one with the same key."""
        self._left = {**self._left, key: (sql, params)}

    def left(self, key: Hashable) -> Params | None:
        """Returns the parameters of the statement that was left under a key."""
        statement = self._left.get(key)
        return None if statement is None else statement[1]

    def catch_up(self, connection: Connection) -> None:
        """Sends the statements that were left, after which what was found before may no longer be so."""
        left, self._left = self._left, {}
        self.found.clear()
        for sql, params in left.values():
            connection.send(sql, params)

    def flush(self, connection: Connection) -> None:
        """Sends the new rows to the database, those of a table together."""
        if not self._rows:
            return
        rows, self._rows = self._rows, {}
        kept, self._kept = self._kept, {}
        self.touched = self.touched or any(len(some) > kept.get(into, 0) for into, some in rows.items())
        for (table, columns), some in rows.items():
            connection.insert(table, columns, some)

    def store(self, connection: Connection) -> None:
        """Sends the new rows and the statements that were left, and stores how far each sequence is."""
        self.flush(connection)
        self.catch_up(connection)
        if self._last:
            connection.many(
                "INSERT INTO sequences (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE"
                " SET value = excluded.value",
                list(self._last.items()),
            )
