"""What lists can be filtered and ordered by, and one page of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

import orjson
from sutler.errors import invalid
from sutler.filtering import Field, Filter, Kind, Schema
from sutler.paging import Order

from services.cache.caches import Cache, Compression, Eviction
from services.cache.entries import Entry
from services.cache.telling import Cause, Invalidation


@dataclass(frozen=True, slots=True)
class Query:
    """One page of a list.

    Attributes:
        filter: Which items.
        orders: In which order; the last tells all items apart.
        after: Where the page begins, as :func:`sutler.filtering.position` says; None at the start.
        limit: The most items.
        prefix: What keys must begin with; for entries only.
    """

    filter: Filter
    orders: Sequence[Order]
    after: Sequence[Any] | None
    limit: int
    prefix: str = ""


def _rule(kind: Kind, name: str, **more: Any) -> Field:
    return Field(kind, "rules", json=(name,), **more)


CACHES = Schema(
    {
        "name": Field(Kind.STRING, "name", required=True),
        "uid": Field(Kind.STRING, "uid", required=True),
        "create_time": Field(Kind.TIME, "create_time", required=True),
        "update_time": Field(Kind.TIME, "update_time", required=True),
        "display_name": _rule(Kind.STRING, "display_name"),
        "default_ttl": _rule(Kind.DURATION, "default_ttl"),
        "sliding": _rule(Kind.BOOL, "sliding"),
        "stale_retention": _rule(Kind.DURATION, "stale_retention"),
        "max_bytes": _rule(Kind.INT, "max_bytes"),
        "max_entries": _rule(Kind.INT, "max_entries"),
        "max_entry_bytes": _rule(Kind.INT, "max_entry_bytes"),
        "eviction": _rule(Kind.ENUM, "eviction", values={f"EVICTION_{e.name}": e.name for e in Eviction}),
        "storage_mode": _rule(Kind.BOOL, "storage_mode"),
        "compression": _rule(Kind.ENUM, "compression", values={f"COMPRESSION_{c.name}": c.name for c in Compression}),
        "compression_threshold_bytes": _rule(Kind.INT, "compression_threshold"),
        "metadata_backend": _rule(Kind.STRING, "metadata_backend"),
        "blob_backend": _rule(Kind.STRING, "blob_backend"),
        "signing": _rule(Kind.BOOL, "signing"),
        "inline_limit_bytes": _rule(Kind.INT, "inline_limit"),
        "publish_invalidations": _rule(Kind.BOOL, "publish_invalidations"),
    }
)
"""The fields of a cache. The names in JSON are those of :class:`services.cache.caches.Rules`."""

CACHE_ORDER = (Order("name"),)


def cache_item(cache: Cache) -> Mapping[str, Any]:
    """Returns what lists of caches order by, in the form in which it is stored."""
    rules = asdict(cache.rules) | {"eviction": cache.rules.eviction.name, "compression": cache.rules.compression.name}
    renamed = {
        "compression_threshold_bytes": rules["compression_threshold"],
        "inline_limit_bytes": rules["inline_limit"],
    }
    times = {"create_time": cache.create_time, "update_time": cache.update_time}
    return {"name": cache.name, "uid": cache.uid, **times, **rules, **renamed}


ENTRIES = Schema(
    {
        "key": Field(Kind.STRING, "key", required=True),
        "content_type": Field(Kind.STRING, "content_type", required=True),
        "data_type": Field(Kind.STRING, "data_type", required=True),
        "metadata": Field(Kind.OPEN, "metadata"),
        "tags": Field(Kind.STRING_LIST, "tags"),
        "ttl": Field(Kind.DURATION, "ttl"),
        "expire_time": Field(Kind.TIME, "expire_time"),
        "etag": Field(Kind.STRING, "etag", required=True),
        "size_bytes": Field(Kind.INT, "size_bytes", required=True),
        "stored_size_bytes": Field(Kind.INT, "stored_bytes", required=True),
        "checksum": Field(Kind.STRING, "checksum", required=True),
        "hit_count": Field(Kind.INT, "hit_count", required=True),
        "access_time": Field(Kind.TIME, "access_time"),
        "create_time": Field(Kind.TIME, "create_time", required=True),
        "update_time": Field(Kind.TIME, "update_time", required=True),
    }
)
"""The fields of an entry; the value is none of them."""

ENTRY_ORDER = (Order("key"),)

T = TypeVar("T", bound="Item")


class Item(Protocol):
    """Something of which there are few, so that no store orders it."""

    def item(self) -> Mapping[str, Any]:
        """Returns what lists filter and order by."""
        ...


def in_order(items: Sequence[T], orders: Sequence[Order]) -> list[T]:
    """Returns items in an order."""
    ordered = list(items)
    for order in reversed(orders):
        ordered.sort(key=lambda each: each.item()[order.field], reverse=order.descending)
    return ordered


def check_filter(wanted: Filter) -> None:
    """Refuses a filter that cannot be compared with keys in every backend: some escape control characters.

    Raises:
        Invalid: If it holds U+0001 (FILTER_INVALID).
    """
    if "\x01" in wanted.text:
        position = str(wanted.text.index("\x01") + 1)
        raise invalid("filter", "must not hold U+0001", reason="FILTER_INVALID", metadata={"position": position})


def entry_item(entry: Entry) -> Mapping[str, Any]:
    """Returns what lists of entries order by."""
    return {
        "key": entry.key,
        "content_type": entry.content_type,
        "data_type": entry.data_type,
        "metadata": orjson.loads(entry.metadata),
        "ttl": entry.ttl,
        "expire_time": entry.expire_time,
        "etag": entry.etag,
        "size_bytes": entry.size,
        "stored_size_bytes": entry.stored_size,
        "checksum": entry.checksum,
        "hit_count": entry.hit_count,
        "access_time": entry.access_time,
        "create_time": entry.create_time,
        "update_time": entry.update_time,
    }


INVALIDATIONS = Schema(
    {
        "key": Field(Kind.STRING, "key", required=True),
        "cause": Field(Kind.ENUM, "cause", required=True, values={f"CAUSE_{c.name}": int(c) for c in Cause}),
        "event_time": Field(Kind.TIME, "event_time", required=True),
    }
)
"""The fields of an invalidation of a key."""


def invalidation_item(told: Invalidation) -> Mapping[str, Any]:
    """Returns what watches filter by."""
    return {"key": told.text, "cause": int(told.cause), "event_time": told.time}
