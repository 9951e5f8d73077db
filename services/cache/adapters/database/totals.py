"""What the entries of a cache take, kept up to date in the transactions that change them."""

from __future__ import annotations

from dataclasses import dataclass

from sutler.store import Transaction

from services.cache.caches import Usage


@dataclass(slots=True)
class Totals:
    """The usage of one cache while one transaction changes it.

    Attributes:
        tenant: Whose cache it is.
        space: The number of the cache.
        entries: As in :class:`~services.cache.caches.Usage`.
        blobs: Likewise.
        size_bytes: Likewise.
        stored_bytes: Likewise.
    """

    tenant: str
    space: int
    entries: int = 0
    blobs: int = 0
    size_bytes: int = 0
    stored_bytes: int = 0

    @property
    def usage(self) -> Usage:
        """The usage as it is now."""
        return Usage(self.entries, self.blobs, self.size_bytes, self.stored_bytes)

    def save(self, tx: Transaction) -> None:
        """Stores it."""
        tx.execute(
            "INSERT INTO spaces (space, tenant, entries, blobs, size_bytes, stored_bytes) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (space) DO UPDATE SET entries = excluded.entries, blobs = excluded.blobs,"
            " size_bytes = excluded.size_bytes, stored_bytes = excluded.stored_bytes",
            (self.space, self.tenant, self.entries, self.blobs, self.size_bytes, self.stored_bytes),
        )


def load(tx: Transaction, tenant: str, space: int) -> Totals:
    """Returns the usage of a cache; zeros if nothing was ever put."""
    row = tx.one("SELECT entries, blobs, size_bytes, stored_bytes FROM spaces WHERE space = ?", (space,))
    return Totals(tenant, space, *(row or ()))
