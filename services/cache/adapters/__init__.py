"""The one table of backend types: what ListBackends tells and what the composition root opens."""

from __future__ import annotations

from sutler.backends import BackendKind, BackendType, Capability, Registry

from services.cache.adapters import filesystem, json_file, memory_bytes, redis, s3
from services.cache.adapters.database import places

LOCAL = "local"
"""The name of the metadata backend in the service's own database."""

FILES = "files"
"""The name of the blob backend in the folder of the settings."""

BUILTIN = (
    BackendType(
        kind=BackendKind.METADATA,
        type="sqlite",
        description="A SQLite file; for one host",
        capabilities=(Capability.DURABLE, Capability.FILTERS),
        options=places.SqliteOptions,
        factory=places.sqlite,
        builtin=True,
    ),
    BackendType(
        kind=BackendKind.METADATA,
        type="sqlite_memory",
        description="SQLite in the memory of one process; empty after a restart",
        capabilities=(Capability.FILTERS,),
        factory=places.sqlite_memory,
        builtin=True,
    ),
    BackendType(
        kind=BackendKind.METADATA,
        type="postgresql",
        description="A PostgreSQL schema; for any number of hosts",
        capabilities=(Capability.DURABLE, Capability.SHARED, Capability.NOTIFICATIONS, Capability.FILTERS),
        options=places.PostgresqlOptions,
        factory=places.postgresql,
        builtin=True,
    ),
    BackendType(
        kind=BackendKind.METADATA,
        type="redis",
        description=redis.DESCRIPTION,
        capabilities=redis.CAPABILITIES,
        options=redis.RedisOptions,
        factory=redis.redis_store,
        required_packages=redis.REQUIRED_PACKAGES,
        builtin=True,
    ),
    BackendType(
        kind=BackendKind.METADATA,
        type="json",
        description=json_file.DESCRIPTION,
        capabilities=json_file.CAPABILITIES,
        options=json_file.JsonOptions,
        factory=json_file.JsonStore,
        max_entries=json_file.MAX_ENTRIES,
        builtin=True,
    ),
    BackendType(
        kind=BackendKind.BLOB,
        type="filesystem",
        description=filesystem.DESCRIPTION,
        capabilities=filesystem.CAPABILITIES,
        options=filesystem.FilesystemOptions,
        factory=filesystem.FilesystemBytes,
        builtin=True,
    ),
    BackendType(
        kind=BackendKind.BLOB,
        type="memory",
        description=memory_bytes.DESCRIPTION,
        capabilities=memory_bytes.CAPABILITIES,
        options=memory_bytes.MemoryOptions,
        factory=memory_bytes.MemoryBytes,
        builtin=True,
    ),
    BackendType(
        kind=BackendKind.BLOB,
        type="s3",
        description=s3.DESCRIPTION,
        capabilities=s3.CAPABILITIES,
        options=s3.S3Options,
        factory=s3.s3_bytes,
        required_packages=s3.REQUIRED_PACKAGES,
        builtin=True,
    ),
)


def registry() -> Registry:
    """Returns all types that there are: those of the table, and those that installed packages bring."""
    known = Registry()
    for each in BUILTIN:
        known.add(each)
    known.load_entry_points()
    return known


def own_type(types: Registry, name: str) -> BackendType:
    """Returns the type of a backend that every service has."""
    found = types.find(BackendKind.METADATA, name) or types.find(BackendKind.BLOB, name)
    assert found is not None
    return found
