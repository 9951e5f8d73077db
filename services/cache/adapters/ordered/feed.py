"""What followers of a cache are told. See :class:`sutler.tails.Log`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from sutler.backends import OrderedStore

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.records import load_news, load_space
from services.cache.telling import Invalidation

_OVERHEAD = 100


class Feed:
    """The news of one cache.

    Args:
        store: Where.
        space: The number of the cache.
    """

    def __init__(self, store: OrderedStore, space: int) -> None:
        self._store = store
        self._space = space

    @property
    def identity(self) -> Hashable:
        """Says which feed it is."""
        return id(self._store), self._space

    async def bounds(self) -> tuple[int, int]:
        """Returns the number after which all is kept, and the last one."""
        [record] = await self._store.get([keys.space(self._space)])
        if record is None:
            return 0, 0
        space = load_space(record)
        return space.followed_from, space.told

    async def after(self, position: int, limit: int) -> Sequence[tuple[int, Invalidation]]:
        """Returns what was told after a number."""
        end = keys.below(keys.news(self._space))
        found = await self._store.scan(keys.new(self._space, position + 1), end, limit)
        return [(keys.position(self._space, key), load_news(record)) for key, record in found]

    def size(self, change: Invalidation) -> int:
        """Returns about how many bytes one thing takes."""
        return len(change.text.encode()) + len(change.etag) + _OVERHEAD
