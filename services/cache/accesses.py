"""Accesses: counted in memory and stored now and then, so that a read writes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from services.cache.caches import Cache
from services.cache.entries import Entry

RENEW_AT_ONCE_SECONDS = 3.0
"""An access that renews a life which ends sooner than this is stored before it is answered.

Other replicas, and this one after a crash, know of a life only what is stored: with accesses stored every second, an
entry that is in use never seems expired.
"""


Place: TypeAlias = tuple[int, str, float]
"""The number of a cache, a key and when its entry was put."""

MAX_KEPT = 100_000
"""How many entries' accesses are kept at the most while they cannot be stored."""


@dataclass(frozen=True, slots=True)
class Access:
    """How an entry was used since this was last stored.

    Attributes:
        space: The number of its cache.
        key: Its key.
        put_time: When it was put; accesses to an entry that has been replaced do not count for the new one.
        sliding: Whether its life is renewed.
        hits: How often it was accessed.
        last_time: When it was last accessed.
        by_frequency: Whether its cache lets the least often used entries go first.
    """

    space: int
    key: str
    put_time: float
    sliding: bool
    hits: int
    last_time: float
    by_frequency: bool = False


Pending: TypeAlias = dict[str, dict[Place, list[float]]]
"""By metadata backend: how often an entry was accessed, and when last."""


class Accesses:
    """Remembers accesses until they are taken to be stored."""

    def __init__(self) -> None:
        self._renewing: Pending = {}
        self._others: Pending = {}
        self._by_frequency: set[int] = set()

    def __len__(self) -> int:
        """How many entries have accesses that are not stored."""
        return sum(len(places) for counts in (self._renewing, self._others) for places in counts.values())

    def add(self, cache: Cache, entry: Entry, now: float) -> None:
        """Counts an access to a living entry."""
        self.add_all(cache, [(cache.space, entry.key, entry.put_time)], now)

    def add_all(self, cache: Cache, places: Iterable[Place], now: float) -> None:
        """Counts an access to each of several living entries of one cache."""
        counts = self._renewing if cache.rules.sliding else self._others
        pending = counts.get(cache.rules.metadata_backend)
        if pending is None:
            pending = counts.setdefault(cache.rules.metadata_backend, {})
        if cache.by_frequency:
            self._by_frequency.add(cache.space)
        for place in places:
            known = pending.get(place)
            if known is not None:
                known[0] += 1
                known[1] = now
                continue
            pending[place] = [1, now]

    def take(self) -> dict[str, list[Access]]:
        """Returns what was remembered, by metadata backend, and forgets it."""
        taken = self.take_renewing()
        counts, self._others = self._others, {}
        for backend, accesses in counts.items():
            taken.setdefault(backend, []).extend(self._listed(accesses, sliding=False))
        self._by_frequency = set()
        return taken

    def take_renewing(self) -> dict[str, list[Access]]:
        """Returns only what renews lives, and forgets that."""
        counts, self._renewing = self._renewing, {}
        return {backend: self._listed(accesses, sliding=True) for backend, accesses in counts.items()}

    def put_back(self, backend: str, accesses: Sequence[Access]) -> int:
        """Remembers again what could not be stored, as far as there is room; returns how many are lost."""
        for index, access in enumerate(accesses):
            pending = (self._renewing if access.sliding else self._others).setdefault(backend, {})
            if len(pending) >= MAX_KEPT:
                return len(accesses) - index
            known = pending.setdefault((access.space, access.key, access.put_time), [0, access.last_time])
            known[0] += access.hits
            known[1] = max(known[1], access.last_time)
            if access.by_frequency:
                self._by_frequency.add(access.space)
        return 0

    def _listed(self, accesses: dict[Place, list[float]], *, sliding: bool) -> list[Access]:
        return [
            Access(space, key, put_time, sliding, int(hits), last, space in self._by_frequency)
            for (space, key, put_time), (hits, last) in accesses.items()
        ]


def renewed(cache: Cache, entry: Entry, now: float) -> Entry:
    """Returns an entry as an access leaves it: with a new life, if its cache slides and it has no absolute end."""
    if not cache.rules.sliding or not entry.ttl:
        return entry
    return replace(entry, expire_time=now + entry.ttl)


def must_store(cache: Cache, entry: Entry, now: float) -> bool:
    """Returns whether an access must be stored before it is answered, because the stored life ends soon."""
    return bool(
        cache.rules.sliding
        and entry.ttl
        and entry.expire_time is not None
        and entry.expire_time - now < RENEW_AT_ONCE_SECONDS
    )
