"""What an entry is worth when room is made: one number, kept in constant time per access.

The number is a time. Where the least recently used entries go first, it is that of the last use. Where the least often
used ones go first, uses add up, and each is worth half as much for every hour that has passed: the rank is the time at
which a single use would be worth as much as all of them together. Nothing has to be aged, for all ranks lose alike;
one index serves both, and a cache that turns from the one to the other needs nothing.
"""

from __future__ import annotations

from math import exp2, log2

HALF_LIFE_SECONDS = 3600.0
"""After so long a use counts half."""


def frequent(rank: float, uses: int, time: float) -> float:
    """Returns the rank of an entry that is used again, where the least often used ones go first.

    Args:
        rank: Its rank before.
        uses: How often it was used since.
        time: When it was used last, in seconds since 1970.
    """
    newest = max(rank, time)
    before, now = (exp2((each - newest) / HALF_LIFE_SECONDS) for each in (rank, time))
    return newest + HALF_LIFE_SECONDS * log2(before + uses * now)
