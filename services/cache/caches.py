"""Caches: the rules that their entries live by."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from sutler.errors import Violation, invalid_fields
from sutler.etags import make_etag

from services.cache.backend_faults import backend_unknown

COLLECTION = "caches"
DEFAULT_TTL_SECONDS = 86_400.0
DEFAULT_MAX_BYTES = 2 << 30
DEFAULT_INLINE_LIMIT = 64 << 10
DEFAULT_COMPRESSION_THRESHOLD = 1024
EVICT_TO = 0.8
"""Eviction ends at this part of the limit that was passed."""


class Eviction(IntEnum):
    """What makes room when a limit is passed, by the contract's numbers."""

    UNSPECIFIED = 0
    LRU = 1
    LFU = 2
    NONE = 3


class Compression(IntEnum):
    """How values are packed at rest, by the contract's numbers."""

    UNSPECIFIED = 0
    NONE = 1
    ZSTD = 2
    LZ4 = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the owner of a cache decides. None and the zero of an enum mean that the default applies.

    Attributes:
        display_name: What it is for, for people.
        default_ttl: Seconds that an entry lives that is put without a life of its own; 0 is without end.
        sliding: Whether an access renews the life of an entry.
        stale_retention: Seconds that an entry is kept after it expired.
        max_bytes: The most bytes that values may take, as stored; 0 is without bound.
        max_entries: The most entries; 0 is without bound.
        max_entry_bytes: The most bytes of one value; 0 is without bound.
        eviction: What makes room.
        storage_mode: Whether nothing expires and nothing is evicted.
        compression: How values are packed.
        compression_threshold: The smallest value to pack, in bytes.
        metadata_backend: Where metadata and small values are.
        blob_backend: Where large values are.
        signing: Whether entries are signed.
        inline_limit: The largest value, in bytes, that is stored beside its metadata.
        publish_invalidations: Whether ``cache.invalidated`` is emitted.
    """

    display_name: str = ""
    default_ttl: float | None = None
    sliding: bool = False
    stale_retention: float | None = None
    max_bytes: int | None = None
    max_entries: int = 0
    max_entry_bytes: int = 0
    eviction: Eviction = Eviction.UNSPECIFIED
    storage_mode: bool = False
    compression: Compression = Compression.UNSPECIFIED
    compression_threshold: int | None = None
    metadata_backend: str = ""
    blob_backend: str = ""
    signing: bool = False
    inline_limit: int | None = None
    publish_invalidations: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A set of entries with common rules.

    Attributes:
        tenant: Whose it is.
        id: The last part of its name.
        uid: Tells it from an earlier one of the same name; empty until it is stored.
        space: The number under which backends keep its entries; never used again.
        revision: Counts its changes.
        create_time: Seconds since 1970.
        update_time: Seconds since 1970.
        rules: What its owner decided.
    """

    tenant: str
    id: str
    uid: str = ""
    space: int = 0
    revision: int = 0
    create_time: float = 0.0
    update_time: float = 0.0
    rules: Rules = field(default_factory=Rules)

    @property
    def name(self) -> str:
        """The resource name."""
        return f"{COLLECTION}/{self.id}"

    @property
    def etag(self) -> str:
        """Changes with every change; empty until it is stored."""
        return make_etag(self.uid, self.revision) if self.uid else ""

    @property
    def ttl(self) -> float:
        """The seconds that an entry without a life of its own lives; 0 is without end."""
        if self.rules.storage_mode:
            return 0.0
        return DEFAULT_TTL_SECONDS if self.rules.default_ttl is None else self.rules.default_ttl

    @property
    def max_bytes(self) -> int:
        """The most bytes that values may take; 0 is without bound."""
        return DEFAULT_MAX_BYTES if self.rules.max_bytes is None else self.rules.max_bytes

    @property
    def inline_limit(self) -> int:
        """The largest value, in bytes, that is stored beside its metadata."""
        return DEFAULT_INLINE_LIMIT if self.rules.inline_limit is None else self.rules.inline_limit

    @property
    def compression(self) -> Compression:
        """How values are packed that are large enough."""
        return self.rules.compression or Compression.NONE

    def packing(self, size: int) -> Compression:
        """Returns how a value of a size, in bytes, is packed."""
        threshold = self.rules.compression_threshold
        large = size >= (DEFAULT_COMPRESSION_THRESHOLD if threshold is None else threshold)
        return self.compression if large else Compression.NONE

    @property
    def evicts(self) -> bool:
        """Whether entries make room for others."""
        return not self.rules.storage_mode and self.rules.eviction is not Eviction.NONE

    @property
    def by_frequency(self) -> bool:
        """Whether the entries that were used least often make room first, rather than least recently."""
        return self.rules.eviction is Eviction.LFU

    @property
    def stale_retention(self) -> float:
        """The seconds that an entry is kept after it expired."""
        return self.rules.stale_retention or 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What the entries of one cache take, expired ones that were not removed yet included.

    Attributes:
        entries: How many there are.
        blobs: How many blobs they refer to; equal ones count once.
        size_bytes: The bytes of all values.
        stored_bytes: The bytes of all values as stored; equal blobs count once.
    """

    entries: int = 0
    blobs: int = 0
    size_bytes: int = 0
    stored_bytes: int = 0


def passes_limit(cache: Cache, usage: Usage, part: float = 1.0) -> bool:
    """Returns whether a usage is above a part of one of the cache's limits."""
    entries, size = cache.rules.max_entries * part, cache.max_bytes * part
    return bool((entries and usage.entries > entries) or (size and usage.stored_bytes > size))


def check_rules(rules: Rules) -> None:
    """Checks rules that belong together.

    Raises:
        Invalid: If they contradict each other.
    """
    if rules.storage_mode:
        broken = {
            "cache.default_ttl": bool(rules.default_ttl),
            "cache.sliding": rules.sliding,
            "cache.eviction": rules.eviction not in (Eviction.UNSPECIFIED, Eviction.NONE),
        }
        found = [
            Violation(path, "does not go with storage_mode, which keeps everything", "CACHE_STORAGE_MODE")
            for path, is_broken in broken.items()
            if is_broken
        ]
        if found:
            raise invalid_fields(found)


def check_backend(field_name: str, wanted: str, known: tuple[str, ...]) -> None:
    """Checks that a cache names a backend that is configured.

    Raises:
        Invalid: If not (BACKEND_UNKNOWN).
    """
    if wanted not in known:
        raise backend_unknown(field_name, wanted, known)
