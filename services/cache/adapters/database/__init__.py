"""The service's own database, SQLite or PostgreSQL: the catalogue of caches, and the metadata backend beside it."""

from services.cache.adapters.database.catalogue import StoredCatalogue
from services.cache.adapters.database.entries import DatabaseEntries
from services.cache.adapters.database.schema import MIGRATIONS

__all__ = ["MIGRATIONS", "DatabaseEntries", "StoredCatalogue"]
