"""Redis, or Valkey, as an ordered store: metadata for any number of hosts.

What needs the package ``redis`` is imported when a store is made, so that the type is known without it.
"""

from __future__ import annotations

from sutler.backends import Capability, OrderedStore

from services.cache.adapters.redis.options import RedisOptions

DESCRIPTION = "Redis or Valkey, version 7 or later; for any number of hosts, as durable as the server is set up"
CAPABILITIES = (Capability.SHARED, Capability.NOTIFICATIONS)
REQUIRED_PACKAGES = ("redis",)


def redis_store(options: RedisOptions) -> OrderedStore:
    """Returns the store in a Redis; it connects with its first call.

    Raises:
        ImportError: If redis is not installed.
    """
    from services.cache.adapters.redis.store import RedisStore

    return RedisStore(options)


__all__ = ["CAPABILITIES", "DESCRIPTION", "REQUIRED_PACKAGES", "RedisOptions", "redis_store"]
