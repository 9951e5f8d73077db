"""Backends: the places for metadata and blobs that an operator configured, under their names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Generic, TypeVar

from sutler.backends import BackendKind, BackendType, Capability
from sutler.errors import SutlerError, Unavailable
from sutler.filtering import Field, Kind, Schema
from sutler.paging import Order

from services.cache.backend_faults import backend_limit_exceeded, backends_incompatible
from services.cache.caches import Cache, Rules, check_backend
from services.cache.ports import BlobBackend, MetadataBackend

T = TypeVar("T")

HEALTH_SECONDS = 2.0


class BackendState(IntEnum):
    """Whether a backend can be used, by the contract's numbers."""

    READY = 1
    UNAVAILABLE = 2
    NOT_CONFIGURED = 3
    NOT_INSTALLED = 4


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend as it is told to callers.

    Attributes:
        id: The operator's name for it; empty if none of its type is configured.
        type: What it is.
        state: Whether it can be used.
        state_reason: Why not, for people.
        is_default: Whether caches that name none get this one.
        compatible_types: Types of the other kind that it can be combined with; all if empty.
    """

    id: str
    type: BackendType
    state: BackendState
    state_reason: str = ""
    is_default: bool = False
    compatible_types: tuple[str, ...] = ()

    def item(self) -> Mapping[str, Any]:
        """Returns what lists filter and order by."""
        return {
            "backend_id": self.id,
            "kind": int(self.type.kind),
            "type": self.type.type,
            "description": self.type.description,
            "state": int(self.state),
            "state_reason": self.state_reason,
            "default_backend": self.is_default,
            "builtin": self.type.builtin,
            "max_entries": self.type.max_entries,
        }


@dataclass(frozen=True, slots=True)
class Configured(Generic[T]):
    """A backend that is configured.

    Attributes:
        id: The operator's name for it.
        type: What it is.
        backend: What does the work.
        durable: Tells whether it keeps everything over a restart, where its type does not say.
    """

    id: str
    type: BackendType
    backend: T
    durable: Callable[[], Awaitable[bool]] | None = None


BACKENDS = Schema(
    {
        "backend_id": Field(Kind.STRING, "backend_id"),
        "kind": Field(Kind.ENUM, "kind", values={"KIND_METADATA": 1, "KIND_BLOB": 2}),
        "type": Field(Kind.STRING, "type"),
        "description": Field(Kind.STRING, "description"),
        "state": Field(Kind.ENUM, "state", values={f"STATE_{state.name}": int(state) for state in BackendState}),
        "state_reason": Field(Kind.STRING, "state_reason"),
        "default_backend": Field(Kind.BOOL, "default_backend"),
        "builtin": Field(Kind.BOOL, "builtin"),
        "max_entries": Field(Kind.INT, "max_entries"),
    }
)
"""The fields of a backend."""

BACKEND_ORDER = (Order("kind"), Order("backend_id"), Order("type"))


class Backends:
    """All backends of this server.

    Args:
        types: Those that it knows.
        metadata: Those that are configured for metadata.
        blobs: Those that are configured for blobs.
        default_metadata: The name of that which caches get that name none; the first if empty.
        default_blobs: Likewise for blobs.
    """

    def __init__(
        self,
        types: Sequence[BackendType],
        metadata: Sequence[Configured[MetadataBackend]],
        blobs: Sequence[Configured[BlobBackend]],
        default_metadata: str = "",
        default_blobs: str = "",
    ) -> None:
        self._types = types
        self._metadata = {configured.id: configured for configured in metadata}
        self._blobs = {configured.id: configured for configured in blobs}
        self._defaults = (default_metadata or metadata[0].id, default_blobs or blobs[0].id)

    def metadata(self, cache: Cache) -> MetadataBackend:
        """Returns where the metadata of a cache are.

        Raises:
            Unavailable: If that is no longer configured.
        """
        return _configured(self._metadata, cache.rules.metadata_backend).backend

    def blobs(self, cache: Cache) -> BlobBackend:
        """Returns where the blobs of a cache are. Raises as :meth:`metadata`."""
        return _configured(self._blobs, cache.rules.blob_backend).backend

    def all_metadata(self) -> Mapping[str, MetadataBackend]:
        """Returns every metadata backend by its name."""
        return {name: configured.backend for name, configured in self._metadata.items()}

    def all_blobs(self) -> Mapping[str, BlobBackend]:
        """Returns every blob backend by its name."""
        return {name: configured.backend for name, configured in self._blobs.items()}

    def chosen(self, rules: Rules) -> Rules:
        """Returns rules that name their backends, the defaults where they name none, and no more entries than these
        take.

        Raises:
            Invalid: If they name one that is not configured (BACKEND_UNKNOWN), two that cannot serve one cache
                (BACKENDS_INCOMPATIBLE), or one that holds too few entries (BACKEND_LIMIT_EXCEEDED).
        """
        metadata, blobs = rules.metadata_backend or self._defaults[0], rules.blob_backend or self._defaults[1]
        check_backend("cache.metadata_backend", metadata, tuple(self._metadata))
        check_backend("cache.blob_backend", blobs, tuple(self._blobs))
        kind = self._metadata[metadata].type
        cause = incompatible(kind, self._blobs[blobs].type)
        if cause:
            raise backends_incompatible(metadata, blobs, cause)
        if kind.max_entries and rules.max_entries > kind.max_entries:
            raise backend_limit_exceeded(metadata, kind.max_entries, rules.max_entries)
        most = rules.max_entries or kind.max_entries
        return replace(rules, metadata_backend=metadata, blob_backend=blobs, max_entries=most)

    async def describe(self) -> list[Backend]:
        """Returns every backend, configured or not, and whether it answers."""
        groups = ((self._metadata, self._defaults[0]), (self._blobs, self._defaults[1]))
        described = await asyncio.gather(
            *(
                self._described(configured, is_default=configured.id == default)
                for group, default in groups
                for configured in group.values()
            )
        )
        used = {(backend.type.kind, backend.type.type) for backend in described}
        unused = [kind for kind in self._types if (kind.kind, kind.type) not in used]
        return described + [self._unused(kind) for kind in unused]

    async def _described(
        self, configured: Configured[MetadataBackend] | Configured[BlobBackend], *, is_default: bool
    ) -> Backend:
        state, why, kind = BackendState.READY, "", configured.type
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await configured.backend.health()
                if configured.durable is not None and await configured.durable():
                    kind = replace(kind, capabilities=tuple(sorted({Capability.DURABLE, *kind.capabilities})))
        except (SutlerError, TimeoutError) as error:
            state, why = BackendState.UNAVAILABLE, str(error) or "no answer in time"
        return Backend(configured.id, kind, state, why, is_default, self._partners(configured.type))

    def _unused(self, kind: BackendType) -> Backend:
        state = BackendState.NOT_INSTALLED if kind.missing else BackendState.NOT_CONFIGURED
        return Backend("", kind, state, kind.missing, compatible_types=self._partners(kind))

    def _partners(self, kind: BackendType) -> tuple[str, ...]:
        """Returns the types that a type can be combined with; nothing if all."""
        others = [other for other in self._types if other.kind is not kind.kind]
        if kind.kind is BackendKind.METADATA:
            fitting = [other.type for other in others if not incompatible(kind, other)]
        else:
            fitting = [other.type for other in others if not incompatible(other, kind)]
        return () if len(fitting) == len(others) else tuple(sorted(fitting))


def incompatible(metadata: BackendType, blobs: BackendType) -> str:
    """Returns why two backends cannot serve one cache; empty if they can.

    Values in the memory of one process are out of reach for other hosts that have the entries, and gone after a
    restart that the entries outlive.
    """
    if not passing(blobs):
        return ""
    if Capability.SHARED in metadata.capabilities:
        return "only one is shared"
    return "only one is durable" if Capability.DURABLE in metadata.capabilities else ""


def passing(kind: BackendType) -> bool:
    """Returns whether what a backend keeps is in the memory of one process, and goes with it."""
    return not {Capability.DURABLE, Capability.SHARED}.intersection(kind.capabilities)


def _configured(known: Mapping[str, Configured[T]], name: str) -> Configured[T]:
    found = known.get(name)
    if found is None:
        raise Unavailable(
            f"the backend {name} is not configured any more: the operator must bring it back",
            reason="STORAGE_UNAVAILABLE",
            metadata={"backend": name},
        )
    return found
