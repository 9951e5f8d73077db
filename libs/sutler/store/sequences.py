"""Numbers that rise by one, in the order in which the changes that draw them are committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sutler.store.engine import Connection

if TYPE_CHECKING:
    from sutler.store.transaction import Transaction


def draw(tx: Transaction, name: str, count: int = 1) -> int:
    """Draws numbers from a sequence. All writers are serial, so there are no gaps, and no lower number appears later.

    Args:
        tx: The change that uses the numbers.
        name: Which sequence; it begins with 1.
        count: How many numbers to draw.

    Returns:
        The last of the numbers drawn.

    Raises:
        StatementError: If ``tx`` only reads.
    """
    return tx.draw(name, count)


class Sequences:
    """The sequences that the changes of one transaction draw from: read once, and stored once before the commit."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._marked: dict[str, int] = {}

    def mark(self) -> None:
        """Marks where the next change starts."""
        self._marked = dict(self._last)

    def undo(self) -> None:
        """Takes back what was drawn since :meth:`mark`."""
        self._last = dict(self._marked)

    def draw(self, connection: Connection, name: str, count: int) -> int:
        """Draws numbers and returns the last."""
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
