"""Records that are missed all at once: rather hidden by a new rule of the ERP than deleted, so somebody should look."""

from __future__ import annotations

from sutler.status import to_status

from services.erp.feed import faults
from services.erp.feed.model import Feed

LEAST = 10
SHARE = 0.2
DOMAIN = "erp.sutler.dev"


def is_mass(missed: int, known: int) -> bool:
    """Returns whether so many records are missed of those that are known that it is hardly by deletes."""
    return missed >= LEAST and missed > SHARE * known


def trouble(feed: Feed) -> bytes:
    """Returns why a feed does not tell all that it should, as a serialised status; empty if it does."""
    cursor = feed.cursor
    if feed.error or not cursor.missing_since:
        return feed.error
    error = faults.records_missing(feed.connection_name, feed.spec.model, cursor.missing)
    return to_status(error, DOMAIN).SerializeToString()
