"""Values in memory by key and by tag, bounded in number and bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sutler.client.cache.entries import CacheEntry


@dataclass(slots=True)
class Held:
    """One value.

    Attributes:
        value: The value, which nobody changes.
        copy: Gives a copy of it.
        entry: Its entry.
        size: How many bytes it takes.
        expires: When it ends, by the clock of its owner.
    """

    value: Any
    copy: Callable[[Any], Any]
    entry: CacheEntry
    size: int
    expires: float


class Lru:
    """Values of which the one that was used longest ago goes first.

    Any thread may call :meth:`use` at any time; all other methods need a lock around them.

    Args:
        max_entries: How many values are held.
        max_bytes: How many bytes they take.

    Attributes:
        max_bytes: How many bytes they take at most.
        size_bytes: How many bytes they take now.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._tagged: dict[str, set[str]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def use(self, key: str) -> Held | None:
        """Returns a value, which counts as used now; None if there is none."""
        try:
            self._held.move_to_end(key)  # in one step for other threads, as is the next
            return self._held[key]
        except KeyError:
            return None

    def etag(self, key: str) -> str | None:
        """Returns the etag of what a key holds; None if it holds nothing."""
        held = self._held.get(key)
        return None if held is None else held.entry.etag

    def put(self, key: str, held: Held) -> None:
        """Puts a value, and drops others until there is room."""
        self.drop(key)
        self._held[key] = held
        self.size_bytes += held.size
        for tag in held.entry.tags:
            self._tagged.setdefault(tag, set()).add(key)
        while len(self._held) > self._max_entries or self.size_bytes > self.max_bytes:
            self._dropped(*self._held.popitem(last=False))

    def drop(self, key: str) -> None:
        """Drops what a key holds."""
        held = self._held.pop(key, None)
        if held is not None:
            self._dropped(key, held)

    def drop_tag(self, tag: str) -> None:
        """Drops all that have a tag."""
        for key in tuple(self._tagged.get(tag, ())):
            self.drop(key)

    def drop_prefix(self, prefix: str) -> None:
        """Drops all keys that begin so."""
        keys = dict.keys(self._held)  # those of OrderedDict fail when another thread uses a value meanwhile
        for key in [key for key in keys if key.startswith(prefix)]:
            self.drop(key)

    def clear(self) -> None:
        """Drops everything."""
        self._held.clear()
        self._tagged.clear()
        self.size_bytes = 0

    def _dropped(self, key: str, held: Held) -> None:
        self.size_bytes -= held.size
        for tag in held.entry.tags:
            keys = self._tagged.get(tag, set())
            keys.discard(key)
            if not keys:
                self._tagged.pop(tag, None)
