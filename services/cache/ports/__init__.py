"""What the cache needs from outside: a catalogue of caches, metadata backends and blob backends."""

from services.cache.ports.blobs import BlobBackend, BlobWriter
from services.cache.ports.catalogue import Catalogue
from services.cache.ports.metadata import MetadataBackend
from services.cache.ports.records import Outbox, Tallies, Verifications

__all__ = ["BlobBackend", "BlobWriter", "Catalogue", "MetadataBackend", "Outbox", "Tallies", "Verifications"]
