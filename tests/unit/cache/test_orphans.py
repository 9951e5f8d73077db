from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from services.cache.adapters.objects.blobs import ORPHAN_SECONDS
from services.cache.adapters.ordered.blobs import MAX_UNUSED_SECONDS
from services.cache.adapters.redis.connecting import LONGEST_PAUSE_SECONDS, RETRIES
from services.cache.adapters.redis.options import MAX_TIMEOUT_SECONDS, RedisOptions
from services.cache.backends import Backends, Configured
from services.cache.caches import Cache
from services.cache.orphans import Orphans
from tests.unit.cache.views import cache


class Here:
    """A catalogue of some caches, a metadata backend that knows one blob, and a place of two."""

    def __init__(self, *metadata: str) -> None:
        made = [cache(metadata_backend=name) for name in metadata]
        self._caches = [replace(each, space=number) for number, each in enumerate(made, 1)]

    async def after(self, space: int, limit: int) -> list[Cache]:
        return [each for each in self._caches if each.space > space][:limit]

    async def known(self, locators: Sequence[str]) -> set[str]:
        return {"used"} & set(locators)

    async def old(self, tenant: str) -> AsyncIterator[Sequence[str]]:
        yield ["used", "orphan"]

    async def found(self) -> list[str]:
        this: Any = self
        backends = Backends((), [Configured("here", this, this)], [Configured("files", this, this)])
        return [locator async for group in Orphans(this, backends).among(this) for locator in group]


async def test_what_nobody_refers_to_is_found() -> None:
    assert await Here().found() == ["orphan"]
    assert await Here("here", "here").found() == ["orphan"]


async def test_nothing_is_an_orphan_while_entries_are_out_of_reach() -> None:
    assert await Here("here", "taken away").found() == []


def test_redis_decides_a_commit_before_the_sweep_may_take_its_blob() -> None:
    longest = (RETRIES + 1) * 2 * MAX_TIMEOUT_SECONDS + RETRIES * LONGEST_PAUSE_SECONDS
    assert MAX_UNUSED_SECONDS + longest < ORPHAN_SECONDS
    with pytest.raises(ValidationError, match="timeout_seconds"):
        RedisOptions(timeout_seconds=MAX_TIMEOUT_SECONDS + 1)
