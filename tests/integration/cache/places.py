"""Where a test's cache keeps its data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sutler.testing import postgresql_schema

from services.cache.settings import Settings


@dataclass(frozen=True)
class Place:
    """Attributes:
    data: The URL of the database.
    blobs: The folder of large values.
    """

    data: str
    blobs: Path


@contextmanager
def place_of(engine: str, folder: Path) -> Iterator[Place]:
    """Yields a place of an engine; its PostgreSQL schema is dropped afterwards."""
    if engine == "sqlite":
        yield Place(f"sqlite:///{folder}/cache.db", folder / "blobs")
        return
    with postgresql_schema() as url:
        yield Place(url, folder / "blobs")


def settings_of(place: Place, **more: Any) -> Settings:
    """Returns the settings of a server on a free port that stops at once and sweeps often."""
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "data": place.data,
        "blobs": place.blobs,
        "log_level": "warning",
        "drain_seconds": 1,
        "drain_pause_seconds": 0,
        "access_flush_seconds": 0.1,
        "sweep_seconds": 0.1,
        "blob_grace_seconds": 0.2,
        **more,
    }
    return Settings(**given)
