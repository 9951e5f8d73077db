"""What ports are asked for, and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sutler.errors import SutlerError

from services.cache.caches import Usage
from services.cache.entries import Entry


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
        entry: What stands there, alive or expired.
        now: The time of the look, in seconds since 1970.
    """

    entry: Entry | None
    now: float


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of the rows of a change.

    Attributes:
        results: For each row the entry as it is now, None if it is gone, or why it was refused.
        usage: What the cache takes now.
    """

    results: Sequence[Entry | SutlerError | None]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of entries.

    Attributes:
        entries: In order.
        positions: For each, where a page begins that comes after it; values that JSON can carry.
        more: Whether others come after them.
    """

    entries: Sequence[Entry]
    positions: Sequence[Sequence[Any]]
    more: bool
