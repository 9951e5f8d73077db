"""What ports are asked for, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sutler.errors import SutlerError

from services.cache.caches import Usage
from services.cache.entries import Entry, Unreadable
from services.cache.leases import Lease


@dataclass(frozen=True, slots=True)
class Deletion:
    """Which cache is to go, and on which conditions.

    Attributes:
        tenant: Whose it is.
        cache_id: Which.
        etag: The etag that it must have; any if empty.
        force: Whether its entries may go with it.
        allow_missing: Whether it may be gone already.
    """

    tenant: str
    cache_id: str
    etag: str
    force: bool
    allow_missing: bool


@dataclass(frozen=True, slots=True)
class Dropped:
    """A deleted cache whose entries are to be removed.

    Attributes:
        space: The number under which they are kept.
        metadata_backend: Where.
        drop_time: When it was deleted.
    """

    space: int
    metadata_backend: str
    drop_time: float


@dataclass(frozen=True, slots=True)
class Found:
    """What a look at one key gave.

    Attributes:
        entry: What stands there, alive, expired or unreadable.
        now: The time of the look, in seconds since 1970.
        lease: The lease of the key, if it lasts and was asked for.
        version: The number of the cache's :class:`Version` as of the look; None if it is not known.
    """

    entry: Entry | Unreadable | None
    now: float
    lease: Lease | None = None
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """How far the changes of a cache's entries have come.

    Attributes:
        number: Grows with every change of an entry, but for accesses; a put and its like add one.
        now: The time of the look, in seconds since 1970.
    """

    number: int
    now: float


Result: TypeAlias = Entry | Lease | SutlerError | None
"""What became of a row: the entry as it is now, None if it is gone, the lease that was given, or why it was refused."""


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of the rows of a change.

    Attributes:
        results: One for each row.
        usage: What the cache takes now.
        versions: The numbers of the cache's :class:`Version` before and after it; None if they are not known.
        lost_leases: How many leases ended that their holders put nothing with.
    """

    results: Sequence[Result]
    usage: Usage
    versions: tuple[int, int] | None = None
    lost_leases: int = 0


@dataclass(frozen=True, slots=True)
class Discarded:
    """What became of entries that were selected.

    Attributes:
        count: How many lived.
        lost_leases: How many leases ended.
    """

    count: int
    lost_leases: int


@dataclass(frozen=True, slots=True)
class Swept:
    """What one piece of work removed.

    Attributes:
        counts: How many entries of each cache, by its number.
        more: Whether there is more to do.
        lost_leases: How many leases of each cache had ended on their own.
    """

    counts: Mapping[int, int]
    more: bool
    lost_leases: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of entries.

    Attributes:
        entries: In order.
        positions: For each, where a page begins that comes after it; values that JSON can carry.
        more: Whether others come after them.
        refused: The places of entries that are not given out, because their signature is not right.
    """

    entries: Sequence[Entry]
    positions: Sequence[Sequence[Any]]
    more: bool
    refused: frozenset[int] = frozenset()
