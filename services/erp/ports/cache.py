"""What the domain needs to keep answers of ERPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from services.erp.records import Origin


@dataclass(frozen=True, slots=True)
class Hit:
    """What a cache has: JSON data, which nobody changes, and which cache that was."""

    value: Any
    origin: Origin


class Claims(Protocol):
    """The right to keep answers that are about to be read."""

    async def ready(self) -> None:
        """Returns when they are claimed: what is read from then on may be kept. It never fails."""
        ...

    async def put(self, entries: Mapping[str, tuple[Any, Sequence[str]]], ttl: float) -> None:
        """Keeps JSON data under keys, each with tags, for ``ttl`` seconds; only what was claimed, and still is."""
        ...


class RecordCache(Protocol):
    """Keeps answers of ERPs. It never fails: a cache that does not answer is a miss."""

    async def get_many(self, tenant: str, keys: Sequence[str]) -> list[Hit | None]:
        """Returns what is kept under each key, or None."""
        ...

    def claiming(self, tenant: str, wanted: Mapping[str, Sequence[str]]) -> AbstractAsyncContextManager[Claims]:
        """Claims keys while the block runs, each that nobody else reads now.

        A claim ends with an invalidation, in whichever process, of one of the tags that stand with its key.
        """
        ...

    async def invalidate(self, tenant: str, tags: Sequence[str]) -> None:
        """Drops everything that has one of the tags."""
        ...
