"""What happens in each cache, counted in memory and stored now and then, so that counting costs a call nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TypeAlias

from sutler.errors import AlreadyExists, Conflict, NotFound

from services.cache.entries import Entry
from services.cache.results import Result


class Count(StrEnum):
    """What is counted, by the contract's names, which are stored too."""

    HIT = "hit_count"
    STALE_HIT = "stale_hit_count"
    ABSENT = "absent_count"
    EXPIRED = "expired_count"
    CORRUPT = "corrupt_count"
    SIGNATURE_INVALID = "signature_invalid_count"
    PUT = "put_count"
    PUT_REFUSED = "put_refused_count"
    DELETE = "delete_count"
    INVALIDATION = "invalidation_count"
    EVICTION = "eviction_count"
    EXPIRATION = "expiration_count"
    LEASE = "lease_count"
    LEASE_LOST = "lease_lost_count"


Counted: TypeAlias = Mapping[tuple[int, Count], int]
"""How often each thing happened in each cache, which is named by its number."""

MISSES = {
    "ENTRY_NOT_FOUND": Count.ABSENT,
    "ENTRY_EXPIRED": Count.EXPIRED,
    "ENTRY_CORRUPT": Count.CORRUPT,
    "SIGNATURE_INVALID": Count.SIGNATURE_INVALID,
}
"""As what a read counts that gives no entry, by the reason."""


class Counts:
    """Counts until they are taken to be stored."""

    def __init__(self) -> None:
        self._pending: dict[tuple[int, Count], int] = {}

    def add(self, space: int, count: Count, number: int = 1) -> None:
        """Counts something that happened in a cache ``number`` times."""
        place = (space, count)
        self._pending[place] = self._pending.get(place, 0) + number

    def missed(self, space: int, missing: NotFound) -> None:
        """Counts a read that gave no entry."""
        count = MISSES.get(missing.reason)
        if count is not None:
            self.add(space, count)

    def put(self, space: int, results: Sequence[Result]) -> None:
        """Counts puts, and those whose condition did not hold."""
        for result in results:
            if isinstance(result, Entry):
                self.add(space, Count.PUT)
            elif isinstance(result, AlreadyExists | Conflict):
                self.add(space, Count.PUT_REFUSED)

    def swept(self, count: Count, numbers: Mapping[int, int]) -> None:
        """Counts what was removed behind the calls, for each cache."""
        for space, number in numbers.items():
            if number:
                self.add(space, count, number)

    def lost(self, space: int, number: int) -> None:
        """Counts leases of a cache that ended without a put by their holders."""
        if number:
            self.add(space, Count.LEASE_LOST, number)

    def take(self) -> Counter[tuple[int, Count]]:
        """Returns what was counted, and forgets it."""
        pending, self._pending = self._pending, {}
        return Counter(pending)
