"""What a backend of CacheService must offer: an ordered store for metadata, a byte store for blobs.

Whoever brings a backend of one's own implements one of the two, and registers it; all that makes a cache of it is the
service's. What the tests of one's own should contain is in :mod:`sutler.testing.ordered_stores`.
"""

from sutler.backends.ordered import OrderedStore
from sutler.backends.registry import BackendKind, BackendType, Capability, Registry
from sutler.backends.stored_bytes import ByteStore

__all__ = ["BackendKind", "BackendType", "ByteStore", "Capability", "OrderedStore", "Registry"]
