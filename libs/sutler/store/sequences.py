"""Numbers that rise by one, in the order in which the changes that draw them are committed."""

from __future__ import annotations

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
