"""What a decision looks at, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.cache.caches import Cache, Rules, Usage
from services.cache.entries import Blob, Entry
from services.cache.leases import Lease

NOW = 1_000_000.0


@dataclass(frozen=True)
class Seen:
    """See :class:`services.cache.changes.View`."""

    entry: Entry | None = None
    usage: Usage = field(default_factory=Usage)
    now: float = NOW
    blobs: tuple[Blob, ...] = ()
    lease: Lease | None = None

    def blob(self, sha256: str) -> Blob | None:
        return next((blob for blob in self.blobs if blob.sha256 == sha256), None)


def cache(**rules: object) -> Cache:
    return Cache(tenant="default", id="c", uid="u", space=1, revision=1, rules=Rules(**rules))  # type: ignore[arg-type]
