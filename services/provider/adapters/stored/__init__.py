"""Everything that is stored, in SQLite or PostgreSQL."""

from services.provider.adapters.stored.listing import listings
from services.provider.adapters.stored.store import DatabaseStore
from services.provider.adapters.stored.tables import COMPONENT, MIGRATIONS, sweeps

__all__ = ["COMPONENT", "MIGRATIONS", "DatabaseStore", "listings", "sweeps"]
