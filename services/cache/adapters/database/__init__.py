"""The service's own database, SQLite or PostgreSQL: the catalogue of caches, and the metadata backend beside it."""

from services.cache.adapters.database.catalogue import StoredCatalogue
from services.cache.adapters.database.entries import DatabaseEntries
from services.cache.adapters.database.outbox import StoredOutbox
from services.cache.adapters.database.schema import MIGRATIONS
from services.cache.adapters.database.tallies import StoredTallies
from services.cache.adapters.database.verifications import StoredVerifications

__all__ = ["MIGRATIONS", "DatabaseEntries", "StoredCatalogue", "StoredOutbox", "StoredTallies", "StoredVerifications"]
