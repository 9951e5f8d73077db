"""Answers of ERPs in this process alone: right only where no other process works on the same ERPs' answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sutler.client.cache.near import MISSING, Fill

from services.erp.adapters.answers.nearby import NearAnswers, entry_of, same
from services.erp.ports import Claims, Hit
from services.erp.records import Origin


class LocalAnswers:
    """See :class:`services.erp.ports.RecordCache`. Every write of this process drops what it changes at once.

    Args:
        max_bytes: How much the answers of all tenants take at the most, about.
    """

    def __init__(self, max_bytes: int) -> None:
        self._near = NearAnswers(max_bytes)
        self._near.live(float("inf"))

    async def get_many(self, tenant: str, keys: Sequence[str]) -> list[Hit | None]:
        """Returns what is kept under each key."""
        found = [self._near.get(f"{tenant}/{key}", copy=False) for key in keys]
        return [None if value is MISSING else Hit(value, Origin.NEAR_CACHE) for value in found]

    @asynccontextmanager
    async def claiming(self, tenant: str, wanted: Mapping[str, Sequence[str]]) -> AsyncIterator[Claims]:
        """Claims keys, which costs nothing."""
        fills = {key: self._near.begin(f"{tenant}/{key}") for key in wanted}
        try:
            yield _Claimed(self._near, fills)
        finally:
            for fill in fills.values():
                self._near.end(fill)

    async def invalidate(self, tenant: str, tags: Sequence[str]) -> None:
        """Drops everything that has one of the tags; those name connections by ids that no two tenants share."""
        self._near.forget(tags)


class _Claimed:
    """See :class:`services.erp.ports.Claims`."""

    def __init__(self, near: NearAnswers, fills: Mapping[str, Fill]) -> None:
        self._near = near
        self._fills = fills

    async def ready(self) -> None:
        """Returns at once."""

    async def put(self, entries: Mapping[str, tuple[Any, Sequence[str]]], ttl: float) -> None:
        """Keeps answers, but for those of which something changed since they were claimed."""
        for key, (value, tags) in entries.items():
            if key in self._fills:
                fill = self._fills[key]
                self._near.keep(fill, entry_of(fill.key, tuple(tags), ttl), value, same, len(orjson.dumps(value)))
