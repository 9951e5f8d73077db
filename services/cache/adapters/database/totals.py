"""What a cache takes and whom it tells, kept up to date in the transactions that change its entries."""

from __future__ import annotations

from dataclasses import dataclass

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


_FOUND = "totals"


@dataclass(slots=True)
class Totals:
    """What is known of one cache, in all, while one transaction changes it.

    Attributes:
        tenant: Whose cache it is.
        space: The number of the cache.
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

    tenant: str
    space: int
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

    def save(self, tx: Transaction) -> None:
        """Stores it."""
        kept = tuple(getattr(self, name) for name in _KEPT)
        tx.execute(_SAVE, (self.space, self.tenant, *kept))
        tx.found[_FOUND, self.space] = kept


def load(tx: Transaction, tenant: str, space: int) -> Totals:
    """Returns what is known of a cache; zeros if nothing was ever put or told."""
    kept = tx.found.get((_FOUND, space))
    if kept is None:
        row = tx.one(f"SELECT {', '.join(_KEPT)} FROM spaces WHERE space = ?", (space,))
        kept = tx.found[_FOUND, space] = tuple(row or ())
    return Totals(tenant, space, *kept)


def change(tx: Transaction, sql: str, params: Params) -> None:
    """Changes what is known of caches past :class:`Totals`, so that it is looked up again."""
    tx.execute(sql, params)
    tx.found.clear()
