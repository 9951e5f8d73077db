"""Types of values: how they become bytes and what they are read by."""

from sutler.client.cache.handlers.base import Buffer, CacheHandler, Encoded, ValueUnreadable
from sutler.client.cache.handlers.registry import DEFAULT, HandlerInfo, Handlers

__all__ = ["DEFAULT", "Buffer", "CacheHandler", "Encoded", "HandlerInfo", "Handlers", "ValueUnreadable"]
