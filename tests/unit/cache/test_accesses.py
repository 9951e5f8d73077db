from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from services.cache.accesses import Access, Accesses, must_store, renewed
from services.cache.caches import Cache
from services.cache.entries import Entry, Kind
from services.cache.housekeeping import Flusher
from tests.unit.cache.views import NOW, cache

ENTRY = Entry("k", Kind.BYTES, '"e"', 60.0, NOW + 60, NOW, 0, 0, "", NOW, NOW, NOW)


def of(space: int = 1, **rules: object) -> Cache:
    return replace(cache(metadata_backend="local", **rules), space=space)


def test_accesses_add_up_until_they_are_taken() -> None:
    accesses = Accesses()
    for later in (1, 2, 3):
        accesses.add(of(), ENTRY, NOW + later)
    accesses.add(of(), replace(ENTRY, key="other"), NOW)
    accesses.add(of(), replace(ENTRY, put_time=NOW + 1), NOW + 2)
    accesses.add(of(2, sliding=True), ENTRY, NOW)
    assert accesses.take() == {
        "local": [
            Access(2, "k", NOW, True, 1, NOW),
            Access(1, "k", NOW, False, 3, NOW + 3),
            Access(1, "other", NOW, False, 1, NOW),
            Access(1, "k", NOW + 1, False, 1, NOW + 2),
        ]
    }
    assert accesses.take() == {}


def test_what_renews_lives_can_be_taken_alone() -> None:
    accesses = Accesses()
    accesses.add(of(), ENTRY, NOW)
    accesses.add(of(2, sliding=True), ENTRY, NOW)
    assert len(accesses) == 2
    assert accesses.take_renewing() == {"local": [Access(2, "k", NOW, True, 1, NOW)]}
    assert len(accesses) == 1
    assert accesses.take() == {"local": [Access(1, "k", NOW, False, 1, NOW)]}


class Records:
    """A backend that remembers what it was to store."""

    def __init__(self) -> None:
        self.stored: list[list[Access]] = []

    def all_metadata(self) -> dict[str, Records]:
        return {"local": self}

    async def record(self, accesses: Sequence[Access]) -> None:
        self.stored.append(list(accesses))


async def test_an_entry_that_is_read_all_the_time_is_stored_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    accesses, records = Accesses(), Records()
    plain, sliding = of(), of(2, sliding=True)

    async def read_twice(_: float) -> None:
        if len(records.stored) == 11:
            raise asyncio.CancelledError
        for each in (plain, sliding):
            accesses.add(each, ENTRY, NOW)
            accesses.add(each, ENTRY, NOW + 1)

    monkeypatch.setattr("services.cache.housekeeping.asyncio.sleep", read_twice)
    with suppress(asyncio.CancelledError):
        await Flusher(accesses, records, 1).run()  # type: ignore[arg-type]
    assert [len(stored) for stored in records.stored] == [*[1] * 9, 2, 1]
    assert {access.space: access.hits for access in records.stored[9]} == {1: 20, 2: 2}


def test_what_could_not_be_stored_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    accesses = Accesses()
    accesses.add(of(sliding=True), ENTRY, NOW)
    [taken] = accesses.take().values()
    accesses.add(of(sliding=True), ENTRY, NOW + 5)
    assert accesses.put_back("local", taken) == 0
    assert accesses.take() == {"local": [Access(1, "k", NOW, True, 2, NOW + 5)]}
    assert accesses.put_back("local", taken) == 0
    assert accesses.take() == {"local": taken}
    monkeypatch.setattr("services.cache.accesses.MAX_KEPT", 1)
    assert accesses.put_back("local", [*taken, replace(taken[0], key="l"), replace(taken[0], key="m")]) == 2


@pytest.mark.parametrize(
    ("sliding", "ttl", "end", "after"),
    [
        (True, 60.0, NOW + 5, NOW + 60),
        (False, 60.0, NOW + 5, NOW + 5),
        (True, 0.0, None, None),
        (True, None, NOW + 5, NOW + 5),
    ],
)
def test_an_access_renews_a_life_that_slides(
    sliding: bool, ttl: float | None, end: float | None, after: float | None
) -> None:
    entry = replace(ENTRY, ttl=ttl, expire_time=end)
    assert renewed(of(sliding=sliding), entry, NOW).expire_time == after


@pytest.mark.parametrize(
    ("sliding", "ttl", "left", "at_once"),
    [(True, 60.0, 2.9, True), (True, 60.0, 3.1, False), (False, 60.0, 1.0, False), (True, None, 1.0, False)],
)
def test_a_life_that_ends_soon_is_renewed_at_once(sliding: bool, ttl: float | None, left: float, at_once: bool) -> None:
    entry = replace(ENTRY, ttl=ttl, expire_time=NOW + left)
    assert must_store(of(sliding=sliding), entry, NOW) is at_once
