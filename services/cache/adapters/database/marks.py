"""What tells the blobs of an installation from those of others."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from sutler.store import Database

from services.cache.adapters.database.elsewhere import installation

_FILE = "SELECT file FROM pragma_database_list WHERE name = 'main'"
_SCHEMA = (
    "SELECT system_identifier || '/' || current_database() || '/' || current_schema() AS place FROM pg_control_system()"
)


async def blob_mark(database: Database, folder: Path | None = None) -> bytes:
    """Returns what tells this installation from others, and from those with a copy of its database.

    A copy has the same key, so the place of the database counts too. One in memory has no key that lasts: all of these
    have one mark.

    Args:
        database: The service's own.
        folder: Where the blobs are, if that moves with a SQLite file: then only the way from it to the file counts.
    """
    row = await database.read(lambda tx: tx.one(_FILE if database.dialect == "sqlite" else _SCHEMA))
    assert row is not None
    place = str(row[0])
    if not place:
        return hashlib.sha256(b"memory").digest()
    if database.dialect == "sqlite":
        place = _way(place, folder)
    return hashlib.sha256(await installation(database) + os.fsencode(place)).digest()


def _way(file: str, folder: Path | None) -> str:
    """Returns how a file is reached from a folder, or at all."""
    file = os.path.realpath(file)
    return os.path.relpath(file, os.path.realpath(folder)) if folder else file
