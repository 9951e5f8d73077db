"""What the changes of one transaction share."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from sutler.store.engine import Connection


class Scratch:
    """The sequences that changes draw from, read once and stored once before the commit, and what else they found.

    Attributes:
        found: What a change has found and the next need not look up again. Whoever changes it in the database takes it
            out; when a change is undone, all is forgotten.
    """

    def __init__(self) -> None:
        self.found: dict[Hashable, Any] = {}
        self._last: dict[str, int] = {}
        self._marked: dict[str, int] = {}

    def mark(self) -> None:
        """Marks where the next change starts."""
        self._marked = dict(self._last)

    def undo(self) -> None:
        """Takes back what was drawn since :meth:`mark`, and forgets what was found."""
        self._last = dict(self._marked)
        self.found.clear()

    def draw(self, connection: Connection, name: str, count: int) -> int:
        """Draws numbers from a sequence and returns the last."""
        last = self._last.get(name)
        if last is None:
            row = connection.one("SELECT value FROM sequences WHERE name = ?", (name,))
            last = 0 if row is None else int(row[0])
        self._last[name] = last + count
        return last + count

    def store(self, connection: Connection) -> None:
        """Stores how far each sequence is."""
        if self._last:
            connection.many(
                "INSERT INTO sequences (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE"
                " SET value = excluded.value",
                list(self._last.items()),
            )
