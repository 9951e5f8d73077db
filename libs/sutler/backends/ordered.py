"""The port of metadata backends: keys and values in order, changed in steps that check what they were based on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

Check = tuple[bytes, bytes | None]
"""A key, and the value that it must have; None if it must not be there."""


class OrderedStore(ABC):
    """Keeps keys and values, both bytes: keys of up to 4 KiB, values of up to 2 MiB.

    All methods may be called from many tasks at once, and in several processes if the store is shared. They raise
    :class:`sutler.errors.Unavailable` if the store does not answer, and :class:`sutler.errors.DataLoss` if it is
    damaged.
    """

    @abstractmethod
    async def get(self, keys: Sequence[bytes]) -> Sequence[bytes | None]:
        """Returns the values of keys, in their order, as of one moment; None for a key that is not there."""

    @abstractmethod
    async def scan(self, first: bytes, end: bytes, limit: int) -> Sequence[tuple[bytes, bytes]]:
        """Returns keys from ``first`` on and before ``end``, with their values, in the order of the bytes of the keys.

        At most ``limit``; fewer, but at least one if there is one, where their values are large.
        """

    @abstractmethod
    async def commit(self, check: Check, writes: Mapping[bytes, bytes | None]) -> bool:
        """Makes writes, all or none, if a key still has the value that they were based on.

        Args:
            check: The key and its value.
            writes: New values by key; None removes a key, one that is not there too.

        Returns:
            Whether they were made. They are durable then, if the store is, and seen by every later read in every
            process.

        Raises:
            Exhausted: If there is no room (STORAGE_FULL).
        """

    @abstractmethod
    async def health(self) -> None:
        """Returns if the store answers."""

    async def durable(self) -> bool:
        """Returns whether it keeps everything over a restart, where that depends on how it is set up.

        A type of store that always does says so in its capabilities instead.
        """
        return False

    @abstractmethod
    async def close(self) -> None:
        """Frees what it holds."""

    @abstractmethod
    def listen(self, changed: Callable[[], None]) -> None:
        """Has ``changed`` called, in the event loop, soon after commits of other processes.

        A store of one process does nothing here. Calls may come too often, and late by a tenth of a second.
        """
