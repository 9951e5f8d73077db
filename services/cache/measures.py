"""What the whole process counts, for its operator's monitoring: by kind, never by cache, tenant or key."""

from __future__ import annotations

from collections import Counter

from opentelemetry.metrics import Meter

from services.cache.counting import Count, Counted

_READS = (Count.HIT, Count.STALE_HIT, Count.ABSENT, Count.EXPIRED, Count.CORRUPT, Count.SIGNATURE_INVALID)
_PUTS = (Count.PUT, Count.PUT_REFUSED)
_REMOVALS = (Count.DELETE, Count.INVALIDATION, Count.EVICTION, Count.EXPIRATION)
_LEASES = (Count.LEASE, Count.LEASE_LOST)


class Measures:
    """Instruments of the cache.

    Args:
        meter: Makes the instruments.
    """

    def __init__(self, meter: Meter) -> None:
        groups = {
            "reads": (_READS, "Reads of entries by what they found"),
            "puts": (_PUTS, "Puts of entries, and those whose condition did not hold"),
            "removals": (_REMOVALS, "Entries that were removed, by why"),
            "leases": (_LEASES, "Leases that were given, and those that ended without a put"),
        }
        self._instruments = {}
        for name, (kinds, description) in groups.items():
            instrument = meter.create_counter(f"sutler_cache_{name}", unit="1", description=description)
            self._instruments.update(dict.fromkeys(kinds, instrument))

    def add(self, counted: Counted) -> None:
        """Adds what was counted in all caches."""
        totals: Counter[Count] = Counter()
        for (_, count), number in counted.items():
            totals[count] += number
        for count, number in totals.items():
            self._instruments[count].add(number, {"kind": count.removesuffix("_count")})
