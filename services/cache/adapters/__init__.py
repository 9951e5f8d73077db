"""The one table of backend types: what ListBackends tells and what the composition root opens."""

from __future__ import annotations

from services.cache.backends import BackendKind, BackendType, Capability

LOCAL = "local"
"""The name of the metadata backend in the service's own database."""

FILES = "files"
"""The name of the blob backend in the folder of the settings."""

TYPES = (
    BackendType(
        BackendKind.METADATA,
        "sqlite",
        "The service's own SQLite file; for one host",
        (Capability.DURABLE, Capability.FILTERS),
    ),
    BackendType(
        BackendKind.METADATA,
        "postgresql",
        "The service's own PostgreSQL schema; for any number of hosts",
        (Capability.DURABLE, Capability.SHARED, Capability.FILTERS),
    ),
    BackendType(
        BackendKind.BLOB,
        "filesystem",
        "Files in a folder; for several hosts if all of them mount it",
        (Capability.DURABLE, Capability.RANGES),
    ),
)
