"""Where a test's cache keeps its data."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.testing import postgresql_schema, redis_prefix, redis_url

from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf


@dataclass(frozen=True)
class Place:
    """Attributes:
    data: The URL of the database.
    blobs: The folder of large values.
    metadata: The name of the metadata backend that caches get.
    backends: Metadata backends beside the database, as in the settings.
    """

    data: str
    blobs: Path
    metadata: str = "local"
    backends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@contextmanager
def place_of(engine: str, folder: Path) -> Iterator[Place]:
    """Yields a place of an engine; its PostgreSQL schema, or its keys in Redis, are removed afterwards."""
    file = f"sqlite:///{folder}/cache.db"
    if engine == "sqlite":
        yield Place(file, folder / "blobs")
    elif engine == "json":
        yield Place(file, folder / "blobs", "kv", {"kv": {"type": "json", "file": str(folder / "cache.json")}})
    elif engine == "redis":
        with redis_prefix() as prefix:
            backends = {"kv": {"type": "redis", "url": redis_url(), "prefix": prefix}}
            yield Place(file, folder / "blobs", "kv", backends)
    else:
        with postgresql_schema() as url:
            yield Place(url, folder / "blobs")


def settings_of(place: Place, **more: Any) -> Settings:
    """Returns the settings of a server on a free port that stops at once and sweeps often."""
    given: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "data": place.data,
        "blobs": place.blobs,
        "metadata_backends": place.backends,
        "default_metadata_backend": place.metadata,
        "log_level": "warning",
        "drain_seconds": 1,
        "drain_pause_seconds": 0,
        "access_flush_seconds": 0.1,
        "sweep_seconds": 0.1,
        "blob_grace_seconds": 0.2,
        **more,
    }
    return Settings(**given)


METADATA = ("sqlite", "sqlite_memory", "json", "postgresql", "redis")
"""Every type of metadata backend."""


@contextmanager
def configured(folder: Path, **more: Any) -> Iterator[Settings]:
    """Yields settings with a metadata backend of every type, under the name of its type."""
    with postgresql_schema() as url, redis_prefix() as prefix:
        yield settings_of(
            Place(f"sqlite:///{folder}/cache.db", folder / "blobs"),
            metadata_backends={
                "sqlite": {"type": "sqlite", "file": f"{folder}/a disk.db"},
                "sqlite_memory": {"type": "sqlite_memory"},
                "json": {"type": "json", "file": f"{folder}/notes.json"},
                "postgresql": {"type": "postgresql", "url": url},
                "redis": {"type": "redis", "url": redis_url(), "prefix": prefix},
            },
            **more,
        )


async def made(client: Sutler, **rules: Any) -> Shelf:
    """Makes a cache with a name of its own."""
    request = pb.CreateCacheRequest(cache_id=f"c{uuid4().hex[:12]}", cache=pb.Cache(**rules))
    return Shelf(client, (await client.cache.CreateCache(request)).name)


@asynccontextmanager
async def process(settings: Settings, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server as a process of its own, which ends with the block."""
    environment = {
        **os.environ,
        "PYTHONPATH": "libs:.",
        "SUTLER_CACHE_PORT": str(port),
        "SUTLER_CACHE_DATA": settings.data,
        "SUTLER_CACHE_BLOBS": str(settings.blob_folder),
        "SUTLER_CACHE_METADATA_BACKENDS": json.dumps(settings.metadata_backends),
        "SUTLER_CACHE_DEFAULT_METADATA_BACKEND": settings.default_metadata_backend,
        "SUTLER_CACHE_LOG_LEVEL": "error",
        "SUTLER_CACHE_SWEEP_SECONDS": "0.1",
        "SUTLER_CACHE_BLOB_GRACE_SECONDS": "0",
        "SUTLER_CACHE_ORPHAN_SWEEP_SECONDS": "1",
    }
    running = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.cache", env=environment)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.send_signal(signal.SIGKILL)
        await running.wait()
