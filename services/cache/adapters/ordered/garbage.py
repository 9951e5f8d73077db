"""Files that nobody refers to any more, and those that somebody does."""

from __future__ import annotations

from collections.abc import Sequence

from sutler.backends import OrderedStore

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.looking import records


async def some(store: OrderedStore, blob_backend: str, before: float, limit: int) -> list[str]:
    """Returns locators in a blob backend that nobody has referred to since a time."""
    found: list[str] = []
    async for group in records(store, keys.GARBAGE, keys.garbage_until(before)):
        found += [keys.garbage_locator(key) for key, backend in group if backend == blob_backend.encode()]
        if len(found) >= limit:
            break
    return found[:limit]


async def collected(store: OrderedStore, locators: Sequence[str]) -> None:
    """Forgets files that were removed."""
    names = [keys.locator(name) for name in locators]
    while True:
        found = {
            name: stored
            for name, stored in zip(names, await store.get(names), strict=True)
            if stored is not None and stored.startswith(keys.GARBAGE)
        }
        if not found or await store.commit(next(iter(found.items())), dict.fromkeys([*found, *found.values()])):
            return


async def known(store: OrderedStore, locators: Sequence[str]) -> set[str]:
    """Returns which locators a blob or the garbage has."""
    found = await store.get([keys.locator(name) for name in locators])
    return {name for name, record in zip(locators, found, strict=True) if record is not None}
