"""The client of CacheService for programs that want values, not entries.

``open`` and ``open_sync`` give a cache, ``@cached`` keeps the results of functions in it.
"""

from sutler.client.cache.cache import Cache
from sutler.client.cache.cached import cached, use
from sutler.client.cache.computing import CacheInfo
from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.handlers import DEFAULT, CacheHandler, Encoded, HandlerInfo, Handlers, ValueUnreadable
from sutler.client.cache.keys import key_of
from sutler.client.cache.near import MISSING, NearCache
from sutler.client.cache.opening import open, open_sync
from sutler.client.cache.sync import SyncCache

register_handler = DEFAULT.register_handler
unregister_handler = DEFAULT.unregister_handler
list_handlers = DEFAULT.list_handlers

__all__ = [
    "MISSING",
    "Cache",
    "CacheEntry",
    "CacheHandler",
    "CacheInfo",
    "Encoded",
    "HandlerInfo",
    "Handlers",
    "NearCache",
    "SyncCache",
    "ValueUnreadable",
    "cached",
    "key_of",
    "list_handlers",
    "open",
    "open_sync",
    "register_handler",
    "unregister_handler",
    "use",
]
