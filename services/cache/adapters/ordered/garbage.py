"""Files that nobody refers to any more, and those that somebody does."""

from __future__ import annotations

from collections.abc import Sequence

from sutler.backends import OrderedStore

from services.cache.adapters.ordered import keys


async def some(store: OrderedStore, before: float, limit: int) -> list[tuple[str, str]]:
    """Returns backend and locator of files that nobody has referred to since a time."""
    found = await store.scan(keys.GARBAGE, keys.garbage_until(before), limit)
    return [(backend.decode(), keys.garbage_locator(key)) for key, backend in found]


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
