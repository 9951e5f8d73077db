"""One step of reads and writes: it is run again whenever it looks at something that was not read yet.

So what happens in a step is written as if everything were in memory, and nothing in it waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from sutler.backends import OrderedStore

from services.cache.adapters.ordered import keys

Range: TypeAlias = tuple[bytes, bytes, int]
PAGE = 200
"""How many records are read at once where a step goes through many."""


class MissingError(Exception):
    """A step looked at something that was not read yet."""


class Reads:
    """What was read so far of a store, as of one moment if nothing was committed meanwhile.

    Args:
        store: Where.
    """

    def __init__(self, store: OrderedStore) -> None:
        self.values: dict[bytes, bytes | None] = {}
        self.ranges: dict[Range, list[tuple[bytes, bytes]]] = {}
        self.count = 0
        self._store = store
        self._keys: set[bytes] = set()
        self._ranges: set[Range] = set()

    def want(self, wanted: Iterable[bytes]) -> None:
        """Reads these keys the next time."""
        self._keys.update(wanted)

    def want_range(self, wanted: Range) -> None:
        """Reads these keys the next time, at most as many as the third number says."""
        self._ranges.add(wanted)

    @property
    def complete(self) -> bool:
        """Whether everything that is wanted was read."""
        return not (self._keys or self._ranges)

    async def load(self) -> None:
        """Reads what is wanted."""
        self.count += bool(self._keys) + len(self._ranges)
        if self._keys:
            wanted = list(self._keys)
            self.values.update(zip(wanted, await self._store.get(wanted), strict=True))
        for found in self._ranges:
            self.ranges[found] = list(await self._store.scan(*found))
        self._keys, self._ranges = set(), set()


class Step:
    """What one step reads and writes.

    Args:
        reads: What was read.
        before: What steps before it write in the same commit.
        now: The time, in seconds since 1970.
    """

    def __init__(self, reads: Reads, before: Mapping[bytes, bytes | None], now: float) -> None:
        self.now = now
        self.writes: dict[bytes, bytes | None] = {}
        self._reads = reads
        self._before = before

    def get(self, key: bytes) -> bytes | None:
        """Returns the value of a key; None if it is not there.

        Raises:
            MissingError: If it was not read yet.
        """
        for written in (self.writes, self._before):
            if key in written:
                return written[key]
        if key not in self._reads.values:
            self._reads.want([key])
            raise MissingError
        return self._reads.values[key]

    def want(self, wanted: Iterable[bytes]) -> None:
        """Has keys read together that will be looked at."""
        self._reads.want([key for key in wanted if key not in self._reads.values])

    def scan(self, first: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yields keys from ``first`` on and before ``end``, with their values, in order. Raises as :meth:`get`."""
        while True:
            wanted = (first, end, PAGE)
            if wanted not in self._reads.ranges:
                self._reads.want_range(wanted)
                raise MissingError
            stored = self._reads.ranges[wanted]
            last = keys.after(stored[-1][0]) if stored else end
            yield from self._merged(stored, first, last)
            if not stored:
                return
            first = last

    def put(self, key: bytes, value: bytes) -> None:
        """Writes a value."""
        self.writes[key] = value

    def delete(self, key: bytes) -> None:
        """Removes a key."""
        self.writes[key] = None

    def _merged(self, stored: list[tuple[bytes, bytes]], first: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
        written = {key: value for key, value in (self._before | self.writes).items() if first <= key < end}  # type: ignore[operator]
        if not written:
            return stored
        found = dict(stored) | written
        return [(key, value) for key, value in sorted(found.items()) if value is not None]
