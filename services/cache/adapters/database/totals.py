"""What a cache takes and whom it tells, kept up to date in the transactions that change its entries."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from sutler.store import Params, Transaction

from services.cache.caches import Usage

_KEPT = (
    "entries",
    "blobs",
    "size_bytes",
    "stored_bytes",
    "version",
    "leases",
    "told",
    "followed_from",
    "followed_until",
)
_SAVE = (
    f"INSERT INTO spaces (space, tenant, {', '.join(_KEPT)}) VALUES (?, ?{', ?' * len(_KEPT)})"
    f" ON CONFLICT (space) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _KEPT)}"
)


_TOTALS = "totals"

_kept = attrgetter(*_KEPT)


@dataclass(slots=True)
class Totals:
    """What is known of one cache, in all, while one transaction changes it.

    Attributes:
        space: The number of the cache.
        tenant: Whose cache it is.
        entries: As in :class:`~services.cache.caches.Usage`.
        blobs: Likewise.
        size_bytes: Likewise.
        stored_bytes: Likewise.
        version: How often its entries were changed; not by accesses.
        leases: How many leases there are, those included that have ended on their own and are not swept yet.
        told: The number of what followers were told last.
        followed_from: The number after which all is kept that they were told.
        followed_until: Until when they are told, in seconds since 1970.
        lost_leases: How many leases this transaction ended that nothing was put with; not stored.
    """

    space: int
    tenant: str
    entries: int = 0
    blobs: int = 0
    size_bytes: int = 0
    stored_bytes: int = 0
    version: int = 0
    leases: int = 0
    told: int = 0
    followed_from: int = 0
    followed_until: float = 0.0
    lost_leases: int = 0

    @property
    def usage(self) -> Usage:
        """The usage as it is now."""
        return Usage(self.entries, self.blobs, self.size_bytes, self.stored_bytes)

    @property
    def kept(self) -> tuple[int | float, ...]:
        """What is stored of it."""
        return _kept(self)

    def save(self, tx: Transaction) -> None:
        """Stores it, when the batch ends."""
        tx.leave((_TOTALS, self.space), _SAVE, (self.space, self.tenant, *self.kept))


def load(tx: Transaction, tenant: str, space: int) -> Totals:
    """Returns what is known of a cache; zeros if nothing was ever put or told."""
    place = (_TOTALS, space)
    left = tx.left(place)
    if left is not None:
        return Totals(*left)  # type: ignore[arg-type]
    kept = tx.found.get(place)
    if kept is None:
        row = tx.one(f"SELECT {', '.join(_KEPT)} FROM spaces WHERE space = ?", (space,))
        kept = tx.found[place] = tuple(row or ())
    return Totals(space, tenant, *kept)


def change(tx: Transaction, sql: str, params: Params) -> None:
    """Changes what is known of caches past :class:`Totals`, so that it is looked up again."""
    tx.catch_up()
    tx.execute(sql, params)
    tx.found.clear()
