"""The near cache: values in this process, as long as their service says that they are the current ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final
from weakref import WeakSet

from sutler.client.cache.entries import CacheEntry
from sutler.client.cache.lru import Held, Lru

OVERHEAD_BYTES = 500
"""What a value takes beside its bytes, about."""
GONE = "gone"
"""Stands for the etag of an entry that was deleted or touched; no etag is like it."""


class Missing:
    """The type of :data:`MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
"""What a look-up gives where there is no value; None is a value."""


@dataclass(slots=True, eq=False)
class Fill:
    """One value on its way into the near cache, and what was told of its key meanwhile.

    Attributes:
        key: Its key.
        stale: Whether it may be older than something that was told.
        etag: The etag that was told last; empty if none was.
        tags: The tags that were told.
    """

    key: str
    stale: bool = False
    etag: str = ""
    tags: set[str] = field(default_factory=set)

    def holds(self, entry: CacheEntry) -> bool:
        """Returns whether an entry that was read or put meanwhile is still the current one."""
        return not self.stale and self.etag in ("", entry.etag) and self.tags.isdisjoint(entry.tags)


class NearCache:
    """Keeps values while it is told of every change: without a living feed it has none. Safe for threads.

    The value that was used longest ago goes first.

    Args:
        max_entries: How many values are kept.
        max_bytes: How many bytes they take, about, as encoded.
        max_age: Seconds after which a value is read again in any case.
        clock: Gives seconds that never go back; for tests.
    """

    def __init__(
        self,
        max_entries: int = 1000,
        max_bytes: int = 64 * 1024 * 1024,
        max_age: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bounds = (max_entries, max_bytes)
        self._max_age = max_age
        self._clock = clock
        self._begin_empty()
        _all.add(self)

    def _begin_empty(self) -> None:
        self._values = Lru(*self._bounds)
        self._lock = Lock()
        self._fills: set[Fill] = set()
        self._live_until = 0.0
        self._served = ""

    def __len__(self) -> int:
        return len(self._values)

    @property
    def is_live(self) -> bool:
        """Whether it is being told of every change."""
        return self._clock() < self._live_until

    @property
    def size_bytes(self) -> int:
        """How many bytes the values take, about."""
        return self._values.size_bytes

    @contextmanager
    def serving(self, name: str) -> Iterator[None]:
        """Serves one cache while the block lasts; keys do not tell those of one cache, or tenant, from another's.

        Raises:
            ValueError: If it serves one already.
        """
        with self._lock:
            if self._served:
                raise ValueError(f"this near cache serves {self._served} already: give {name} one of its own")
            self._served = name
        try:
            yield
        finally:
            self._served = ""

    def get(self, key: str, *, copy: bool = True) -> Any:
        """Returns a value, or :data:`MISSING`.

        Args:
            key: Which.
            copy: Gives one that the caller may change; else it is the one that all callers share.
        """
        held = self._values.use(key)
        if held is None:
            return MISSING
        now = self._clock()
        if now >= held.expires or now >= self._live_until:
            return MISSING
        return held.copy(held.value) if copy else held.value

    def begin(self, key: str) -> Fill:
        """Says that a value is about to be read or put; ends with :meth:`end`."""
        fill = Fill(key)
        with self._lock:
            fill.stale = not self.is_live
            self._fills.add(fill)
        return fill

    def keep(self, fill: Fill, entry: CacheEntry, value: Any, copy: Callable[[Any], Any], size: int) -> bool:
        """Keeps a value unless something was told meanwhile that makes it old. Returns whether it is kept.

        Args:
            fill: What ``begin`` gave before it was read or put.
            entry: Its entry.
            value: The value; nobody may change it from now on.
            copy: Gives a copy of it.
            size: How many bytes it takes.
        """
        size += len(fill.key) + OVERHEAD_BYTES
        life = self._max_age
        if entry.expire_time is not None:
            life = min(life, (entry.expire_time - datetime.now(UTC)).total_seconds())
        with self._lock:
            now = self._clock()
            if not fill.holds(entry) or now >= self._live_until or life <= 0 or size > self._values.max_bytes:
                return False
            self._values.put(fill.key, Held(value, copy, entry, size, now + life))
        return True

    def end(self, fill: Fill) -> None:
        """Says that a fill is over."""
        with self._lock:
            self._fills.discard(fill)

    def live(self, seconds: float) -> None:
        """Says that the feed is whole up to now, and will be heard of again within some seconds."""
        self._live_until = self._clock() + seconds

    def stop(self) -> None:
        """Forgets everything and keeps nothing until :meth:`live` is called."""
        self._live_until = 0.0
        self.forget_all()

    def forget_key(self, key: str, etag: str = "") -> None:
        """Forgets a key, unless it holds the entry with this etag."""
        with self._lock:
            if not etag or self._values.etag(key) != etag:
                self._values.drop(key)
            for fill in self._fills:
                if fill.key == key:
                    fill.etag = etag or GONE

    def wrote(self, key: str, etag: str) -> None:
        """Takes it that this process put the entry with this etag: a read that is under way may still give an older
        one. What was told of the key since such a read began stands."""
        with self._lock:
            if self._values.etag(key) != etag:
                self._values.drop(key)
            for fill in self._fills:
                if fill.key == key:
                    fill.etag = fill.etag or etag

    def forget_tags(self, tags: Collection[str]) -> None:
        """Forgets all entries that have one of these tags."""
        with self._lock:
            for tag in tags:
                self._values.drop_tag(tag)
            for fill in self._fills:
                fill.tags.update(tags)

    def forget_prefix(self, prefix: str) -> None:
        """Forgets all keys that begin so."""
        with self._lock:
            self._values.drop_prefix(prefix)
            for fill in self._fills:
                fill.stale = fill.stale or fill.key.startswith(prefix)

    def forget_all(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._values.clear()
            for fill in self._fills:
                fill.stale = True


_all: WeakSet[NearCache] = WeakSet()


def _forked() -> None:
    """Empties the near caches of a process that was forked: nobody feeds them there, and a thread that is not in it
    may have been in the middle of a change."""
    for near in _all:
        near._begin_empty()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forked)
