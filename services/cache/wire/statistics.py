"""Statistics: domain to protobuf."""

from __future__ import annotations

from sutler.cache.v1 import cache_pb2 as pb
from sutler.wire import timestamp

from services.cache.statistics import Stats


def to_stats(stats: Stats) -> pb.CacheStats:
    """Returns the sizes and counters of a cache as the API shows them."""
    return pb.CacheStats(
        cache=stats.cache.name,
        start_time=timestamp(stats.cache.create_time),
        entry_count=stats.usage.entries,
        blob_count=stats.usage.blobs,
        size_bytes=stats.usage.size_bytes,
        stored_size_bytes=stats.usage.stored_bytes,
        waiter_count=stats.gauge.waiters,
        watcher_count=stats.gauge.watchers,
        **{count.value: number for count, number in stats.counts.items()},
    )
