"""What the RPCs hand their work to."""

from __future__ import annotations

from dataclasses import dataclass

from sutler.paging import Pager

from services.cache.backends import Backends
from services.cache.changing import Changes
from services.cache.data_types import DataTypes
from services.cache.invalidating import Invalidations
from services.cache.managing import Caches
from services.cache.reading import Reads
from services.cache.statistics import Statistics
from services.cache.streaming import Streams
from services.cache.verifying import Verifier
from services.cache.waiting import Leases
from services.cache.watching import Watches


@dataclass(frozen=True, slots=True)
class Work:
    """The domain, and the maker of page tokens.

    Attributes:
        caches: Caches themselves.
        reads: Reads of entries.
        changes: Changes of entries.
        invalidations: Removals by selector.
        streams: Values of any size.
        leases: Who may compute a value.
        watches: What near caches are told.
        statistics: What happens in caches.
        verifier: Verifies caches.
        data_types: How values become bytes.
        backends: Where all is.
        pager: Makes page tokens.
    """

    caches: Caches
    reads: Reads
    changes: Changes
    invalidations: Invalidations
    streams: Streams
    leases: Leases
    watches: Watches
    statistics: Statistics
    verifier: Verifier
    data_types: DataTypes
    backends: Backends
    pager: Pager


class Rpcs:
    """RPCs that hand their work on.

    Args:
        work: To whom.
    """

    def __init__(self, work: Work) -> None:
        self._work = work
