"""Backends: the places for metadata and blobs that an operator configured, under their names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Generic, TypeVar

from sutler.errors import SutlerError
from sutler.filtering import Field, Kind, Schema
from sutler.paging import Order

from services.cache.caches import Cache, Rules, check_backend
from services.cache.ports import BlobBackend, MetadataBackend

T = TypeVar("T", covariant=True)

HEALTH_SECONDS = 2.0


class BackendKind(IntEnum):
    """What a backend keeps, by the contract's numbers."""

    METADATA = 1
    BLOB = 2


class BackendState(IntEnum):
    """Whether a backend can be used, by the contract's numbers."""

    READY = 1
    UNAVAILABLE = 2
    NOT_CONFIGURED = 3


class Capability(IntEnum):
    """What a backend can do, by the contract's numbers."""

    DURABLE = 1
    SHARED = 2
    FILTERS = 4
    RANGES = 5


@dataclass(frozen=True, slots=True)
class BackendType:
    """A kind of place that this server knows.

    Attributes:
        kind: What it keeps.
        type: Its name, such as ``sqlite``.
        description: What it is, for people.
        capabilities: What it can do.
    """

    kind: BackendKind
    type: str
    description: str
    capabilities: tuple[Capability, ...]


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend as it is told to callers.

    Attributes:
        id: The operator's name for it; empty if none of its type is configured.
        type: What it is.
        state: Whether it can be used.
        state_reason: Why not, for people.
    """

    id: str
    type: BackendType
    state: BackendState
    state_reason: str = ""

    def item(self) -> Mapping[str, Any]:
        """Returns what lists filter and order by."""
        return {
            "backend_id": self.id,
            "kind": int(self.type.kind),
            "type": self.type.type,
            "description": self.type.description,
            "state": int(self.state),
            "state_reason": self.state_reason,
            "default_backend": bool(self.id),
            "builtin": True,
            "max_entries": 0,
        }


@dataclass(frozen=True, slots=True)
class Configured(Generic[T]):
    """A backend that is configured.

    Attributes:
        id: The operator's name for it.
        type: The name of its type.
        backend: What does the work.
    """

    id: str
    type: str
    backend: T


BACKENDS = Schema(
    {
        "backend_id": Field(Kind.STRING, "backend_id"),
        "kind": Field(Kind.ENUM, "kind", values={"KIND_METADATA": 1, "KIND_BLOB": 2}),
        "type": Field(Kind.STRING, "type"),
        "description": Field(Kind.STRING, "description"),
        "state": Field(
            Kind.ENUM, "state", values={"STATE_READY": 1, "STATE_UNAVAILABLE": 2, "STATE_NOT_CONFIGURED": 3}
        ),
        "state_reason": Field(Kind.STRING, "state_reason"),
        "default_backend": Field(Kind.BOOL, "default_backend"),
        "builtin": Field(Kind.BOOL, "builtin"),
        "max_entries": Field(Kind.INT, "max_entries"),
    }
)
"""The fields of a backend."""

BACKEND_ORDER = (Order("kind"), Order("backend_id"), Order("type"))


class Backends:
    """All backends of this server. Of each kind the first that is configured is the default.

    Args:
        types: Those that it knows.
        metadata: Those that are configured for metadata.
        blobs: Those that are configured for blobs.
    """

    def __init__(
        self,
        types: Sequence[BackendType],
        metadata: Sequence[Configured[MetadataBackend]],
        blobs: Sequence[Configured[BlobBackend]],
    ) -> None:
        self._types = types
        self._metadata = {configured.id: configured for configured in metadata}
        self._blobs = {configured.id: configured for configured in blobs}

    def metadata(self, cache: Cache) -> MetadataBackend:
        """Returns where the metadata of a cache are."""
        return self._metadata[cache.rules.metadata_backend].backend

    def blobs(self, cache: Cache) -> BlobBackend:
        """Returns where the blobs of a cache are."""
        return self._blobs[cache.rules.blob_backend].backend

    def all_metadata(self) -> Mapping[str, MetadataBackend]:
        """Returns every metadata backend by its name."""
        return {name: configured.backend for name, configured in self._metadata.items()}

    def all_blobs(self) -> Mapping[str, BlobBackend]:
        """Returns every blob backend by its name."""
        return {name: configured.backend for name, configured in self._blobs.items()}

    def chosen(self, rules: Rules) -> Rules:
        """Returns rules that name their backends: the defaults where they name none.

        Raises:
            Invalid: If they name one that is not configured (BACKEND_UNKNOWN).
        """
        metadata = rules.metadata_backend or next(iter(self._metadata))
        blobs = rules.blob_backend or next(iter(self._blobs))
        check_backend("cache.metadata_backend", metadata, tuple(self._metadata))
        check_backend("cache.blob_backend", blobs, tuple(self._blobs))
        return replace(rules, metadata_backend=metadata, blob_backend=blobs)

    async def describe(self) -> list[Backend]:
        """Returns every backend, configured or not, and whether it answers."""
        known = {(kind.kind, kind.type): kind for kind in self._types}
        described = [
            await _described(configured.id, known[kind, configured.type], configured.backend)
            for kind, group in ((BackendKind.METADATA, self._metadata), (BackendKind.BLOB, self._blobs))
            for configured in group.values()
        ]
        used = {(backend.type.kind, backend.type.type) for backend in described}
        unused = [kind for place, kind in known.items() if place not in used]
        return described + [Backend("", kind, BackendState.NOT_CONFIGURED) for kind in unused]


async def _described(name: str, kind: BackendType, backend: MetadataBackend | BlobBackend) -> Backend:
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            await backend.health()
    except (SutlerError, TimeoutError) as error:
        return Backend(name, kind, BackendState.UNAVAILABLE, str(error) or "no answer in time")
    return Backend(name, kind, BackendState.READY)


def in_order(backends: Sequence[Backend], orders: Sequence[Order]) -> list[Backend]:
    """Returns backends in an order; they are few, so no store does it."""
    ordered = list(backends)
    for order in reversed(orders):
        ordered.sort(key=lambda backend: backend.item()[order.field], reverse=order.descending)
    return ordered
