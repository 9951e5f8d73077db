"""Records of ordered stores, changed behind the back of their backend."""

from __future__ import annotations

import pytest
from sutler.backends import OrderedStore

from tests.conformance.cache.places import Place


def store_of(place: Place) -> OrderedStore:
    """Returns the ordered store of a place; skips where there is none."""
    store = getattr(place.backend, "_store", None)
    if store is None:
        pytest.skip("the entries are in tables")
    assert isinstance(store, OrderedStore)
    return store


async def record_of(place: Place, key: bytes) -> bytes:
    """Returns a record that is there."""
    [record] = await store_of(place).get([key])
    assert record is not None
    return record


async def overwrite(place: Place, key: bytes, value: bytes | None) -> None:
    """Writes a record, or removes it."""
    store = store_of(place)
    [before] = await store.get([key])
    assert await store.commit((key, before), {key: value})
