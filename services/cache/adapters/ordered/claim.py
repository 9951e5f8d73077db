"""Whose an ordered store is, and which numbers of caches it has seen."""

from __future__ import annotations

from sutler.backends import OrderedStore

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.looking import records
from services.cache.backend_faults import BackendForeignError


async def claim(store: OrderedStore, installation: bytes) -> None:
    """Makes a store that of an installation, unless it is already.

    Raises:
        BackendForeignError: If it is that of another one.
    """
    mine, owner = installation.hex().encode(), None
    while owner is None:
        [owner] = await store.get([keys.INSTALLATION])
        if owner is None and await store.commit((keys.INSTALLATION, None), {keys.INSTALLATION: mine}):
            return
    if owner != mine:
        raise BackendForeignError


async def highest_number(store: OrderedStore) -> int:
    """Returns the highest number of a cache that the store knows; 0 if it knows none."""
    highest = 0
    async for found in records(store, keys.SPACES, keys.below(keys.SPACES)):
        highest = max(highest, *(keys.space_number(key) for key, _ in found))
    return highest
