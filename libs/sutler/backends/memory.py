"""An ordered store in memory: the plainest one, and what stores of one file work on."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Mapping, Sequence

from sutler.backends.ordered import Check, OrderedStore

SCAN_BYTES = 4 * 1024 * 1024
"""How many bytes of values one scan returns, about."""


class MemoryStore(OrderedStore):
    """Keeps keys and values as long as the process runs. See :class:`sutler.backends.OrderedStore`."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self._keys: list[bytes] = []
        self._listeners: list[Callable[[], None]] = []

    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Returns the values of keys."""
        return [self.values.get(key) for key in keys]

    async def scan(self, first: bytes, end: bytes, limit: int) -> Sequence[tuple[bytes, bytes]]:
        """Returns keys and values of a range."""
        found: list[tuple[bytes, bytes]] = []
        size = 0
        for index in range(bisect_left(self._keys, first), min(bisect_left(self._keys, end), len(self._keys))):
            key = self._keys[index]
            size += len(self.values[key])
            if len(found) == limit or (found and size > SCAN_BYTES):
                break
            found.append((key, self.values[key]))
        return found

    async def commit(self, check: Check, writes: Mapping[bytes, bytes | None]) -> bool:
        """Makes writes if a key has the value that they were based on."""
        key, value = check
        if self.values.get(key) != value:
            return False
        self.write(writes)
        for changed in self._listeners:
            changed()
        return True

    def write(self, writes: Mapping[bytes, bytes | None]) -> None:
        """Makes writes."""
        for key, value in writes.items():
            if value is None:
                if self.values.pop(key, None) is not None:
                    del self._keys[bisect_left(self._keys, key)]
                continue
            if key not in self.values:
                insort(self._keys, key)
            self.values[key] = value

    async def health(self) -> None:
        """Returns at once."""

    async def close(self) -> None:
        """Forgets everything."""
        self.values, self._keys = {}, []

    def listen(self, changed: Callable[[], None]) -> None:
        """Has ``changed`` called after every commit: of another process there is none."""
        self._listeners.append(changed)
