"""The one order of all that happens to events and executions, which watches follow.

Each event and execution has the number of its beginning, and those of later changes stand in its row: so what nobody
watches costs no row of its own, and of several changes of one thing a reader that comes late finds the newest.
"""

from __future__ import annotations

from sutler.store import Transaction
from sutler.store.sequences import draw

SEQUENCE = "rule"


def next_number(tx: Transaction) -> int:
    """Returns the number of a change; no lower one appears later."""
    return draw(tx, SEQUENCE)
