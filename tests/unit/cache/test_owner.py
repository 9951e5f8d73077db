from __future__ import annotations

from collections.abc import Callable

import pytest
from sutler.errors import Unavailable

from services.cache.adapters.memory_bytes import MemoryBytes, MemoryOptions
from services.cache.adapters.objects import Owner
from services.cache.adapters.objects.owner import OWNER


class Overtaken(MemoryBytes):
    """Between the first look at the mark and what is done about it, another does something."""

    def __init__(self, other: Callable[[], None]) -> None:
        super().__init__(MemoryOptions())
        self._other: Callable[[], None] | None = other

    async def read(self, name: str, offset: int, length: int) -> bytes | None:
        found = await super().read(name, offset, length)
        if self._other is not None:
            self._other()
            self._other = None
        return found


async def refused(owner: Owner) -> str:
    with pytest.raises(Unavailable) as caught:
        await owner.confirm()
    return caught.value.metadata["cause"]


def owner_of(store: MemoryBytes, mark: bytes, monkeypatch: pytest.MonkeyPatch) -> Owner:
    monkeypatch.setattr("services.cache.adapters.objects.owner.FIRST_SECONDS", 0)
    return Owner("far", store, mark)


async def test_who_claims_a_place_removes_nothing_before_it_has_looked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = owner_of(MemoryBytes(MemoryOptions()), b"mine", monkeypatch)
    with pytest.raises(Unavailable):
        owner.check()
    assert await refused(owner) == "its mark is new"
    owner.check()
    await owner.confirm()


async def test_of_two_that_claim_a_place_at_once_one_loses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Overtaken(lambda: store.keep(OWNER, b"first".hex().encode()))
    late, first = owner_of(store, b"late", monkeypatch), owner_of(store, b"first", monkeypatch)
    assert await refused(late) == "its mark is new"
    assert await refused(first) == "another installation uses it"
    await late.confirm()
    with pytest.raises(Unavailable):
        first.check()
    await store.delete(OWNER)
    assert await refused(first) == "its mark is new"
    await first.confirm()
    assert await refused(late) == "another installation uses it"
