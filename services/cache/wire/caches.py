"""Caches and backends: protobuf to domain and back."""

from __future__ import annotations

from sutler.cache.v1 import cache_pb2 as pb
from sutler.masks import merge
from sutler.wire import duration, seconds, timestamp

from services.cache.backends import Backend
from services.cache.caches import COLLECTION, Cache, Compression, Eviction, Rules
from services.cache.wire.text import checked_text

MAX_REASON = 256
"""How many characters of the reason for a state are shown."""


def cache_id(name: str) -> str:
    """Returns the last part of the name of a cache."""
    return name.removeprefix(f"{COLLECTION}/")


def rules(message: pb.Cache) -> Rules:
    """Returns what a caller decides about a cache.

    Raises:
        Invalid: If a text holds U+0000.
    """
    return Rules(
        display_name=checked_text("cache.display_name", message.display_name),
        default_ttl=seconds(message.default_ttl) if message.HasField("default_ttl") else None,
        sliding=message.sliding,
        stale_retention=seconds(message.stale_retention) if message.HasField("stale_retention") else None,
        max_bytes=message.max_bytes if message.HasField("max_bytes") else None,
        max_entries=message.max_entries,
        max_entry_bytes=message.max_entry_bytes,
        eviction=Eviction(message.eviction),
        storage_mode=message.storage_mode,
        compression=Compression(message.compression),
        compression_threshold=(
            message.compression_threshold_bytes if message.HasField("compression_threshold_bytes") else None
        ),
        metadata_backend=message.metadata_backend,
        blob_backend=message.blob_backend,
        signing=message.signing,
        inline_limit=message.inline_limit_bytes if message.HasField("inline_limit_bytes") else None,
        publish_invalidations=message.publish_invalidations,
    )


def to_cache(cache: Cache) -> pb.Cache:
    """Returns a cache as the API shows it; without what only storing it would tell, if it is not stored."""
    decided = cache.rules
    message = pb.Cache(
        name=cache.name,
        uid=cache.uid,
        etag=cache.etag,
        display_name=decided.display_name,
        sliding=decided.sliding,
        max_bytes=decided.max_bytes,
        max_entries=decided.max_entries,
        max_entry_bytes=decided.max_entry_bytes,
        eviction=int(decided.eviction),  # type: ignore[arg-type]
        storage_mode=decided.storage_mode,
        compression=int(decided.compression),  # type: ignore[arg-type]
        compression_threshold_bytes=decided.compression_threshold,
        metadata_backend=decided.metadata_backend,
        blob_backend=decided.blob_backend,
        signing=decided.signing,
        inline_limit_bytes=decided.inline_limit,
        publish_invalidations=decided.publish_invalidations,
    )
    if decided.default_ttl is not None:
        message.default_ttl.CopyFrom(duration(decided.default_ttl))
    if decided.stale_retention is not None:
        message.stale_retention.CopyFrom(duration(decided.stale_retention))
    if cache.uid:
        message.create_time.CopyFrom(timestamp(cache.create_time))
        message.update_time.CopyFrom(timestamp(cache.update_time))
    return message


def updated_rules(cache: Cache, request: pb.UpdateCacheRequest) -> Rules:
    """Returns the rules of a cache as an update makes them.

    Raises:
        Invalid: If the mask names no field (UPDATE_MASK_INVALID), or a field that cannot change would
            (FIELD_IMMUTABLE).
    """
    if not cache.uid:
        return rules(request.cache)
    mask = request.update_mask if request.HasField("update_mask") else None
    return rules(merge(to_cache(cache), request.cache, mask, below="cache"))


def to_backend(backend: Backend) -> pb.Backend:
    """Returns a backend as the API shows it."""
    message = pb.Backend(
        backend_id=backend.id,
        kind=int(backend.type.kind),  # type: ignore[arg-type]
        type=backend.type.type,
        description=backend.type.description,
        state=int(backend.state),  # type: ignore[arg-type]
        state_reason=backend.state_reason[:MAX_REASON],
        default_backend=backend.is_default,
        builtin=backend.type.builtin,
        capabilities=[int(capability) for capability in backend.type.capabilities],  # type: ignore[misc]
        required_packages=backend.type.required_packages,
        max_entries=backend.type.max_entries,
        compatible_types=backend.compatible_types,
    )
    message.options_schema.update(backend.type.options.model_json_schema())
    return message
