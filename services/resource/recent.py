"""Keeps what is made with much work, as long as it is used."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Keeps what was used last, for all threads.

    Args:
        most: How many things at the most; the one that was used longest ago goes.
        most_weight: What they may weigh together; one that weighs more is kept alone.
        weigh: What a thing weighs.
    """

    def __init__(self, most: int, most_weight: int = sys.maxsize, weigh: Callable[[V], int] = lambda _: 0) -> None:
        self._most = most
        self._most_weight = most_weight
        self._weigh = weigh
        self._weight = 0
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Returns what is kept under a key, or makes and keeps it; two threads may make it at the same time."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = make()
        with self._lock:
            if key not in self._kept:
                self._weight += self._weigh(made)
                self._kept[key] = made
                while len(self._kept) > self._most or (self._weight > self._most_weight and len(self._kept) > 1):
                    self._weight -= self._weigh(self._kept.popitem(last=False)[1])
        return made
