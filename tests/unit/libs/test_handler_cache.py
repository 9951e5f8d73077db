"""The cache of handlers: what goes wrong with tools for functions that do not wait."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sutler.handlers import TtlCache


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Backend:
    """Counts calls, and answers when it is let."""

    def __init__(self, value: object = "value") -> None:
        self.value = value
        self.calls = 0
        self.ended = 0
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self) -> object:
        self.calls += 1
        try:
            await self.free.wait()
        finally:
            self.ended += 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


async def begun(backend: Backend, calls: int = 1) -> None:
    async with asyncio.timeout(5):
        while backend.calls < calls:  # noqa: ASYNC110 - the backend is the test's own and tells nobody
            await asyncio.sleep(0)


async def test_the_same_entry_twice() -> None:
    cache, backend = TtlCache[object](), Backend()
    assert [await cache.get("a", 1, backend) for _ in range(2)] == ["value", "value"]
    assert backend.calls == 1


async def test_a_hundred_misses_at_once_are_one_call() -> None:
    cache, backend = TtlCache[object](), Backend()
    backend.free.clear()
    waiting = [asyncio.create_task(cache.get("a", 1, backend)) for _ in range(100)]
    await begun(backend)
    backend.free.set()
    assert await asyncio.gather(*waiting) == ["value"] * 100
    assert backend.calls == 1


@pytest.mark.parametrize("value", [None, "", [], 0, False])
async def test_empty_values_are_kept(value: object) -> None:
    cache, backend = TtlCache[object](), Backend(value)
    assert [await cache.get("a", 1, backend) for _ in range(3)] == [value] * 3
    assert backend.calls == 1


async def test_an_entry_is_good_for_its_time() -> None:
    clock = Clock()
    cache, backend = TtlCache[object](10, clock=clock), Backend()
    for now, calls in ((0, 1), (9.9, 1), (10, 2), (19, 2), (20, 3)):
        clock.now = now
        await cache.get("a", 1, backend)
        assert backend.calls == calls


async def test_groups_and_keys_are_apart() -> None:
    cache = TtlCache[object]()
    found = [await cache.get(g, k, Backend((g, k))) for g in ("a", "b") for k in (1, "1")]
    assert found == [("a", 1), ("a", "1"), ("b", 1), ("b", "1")]
    assert len(cache) == 4


async def test_invalidate_one_group() -> None:
    cache, a, b = TtlCache[object](), Backend(), Backend()
    for key in (1, 2):
        await cache.get("a", key, a)
    await cache.get("b", 1, b)
    cache.invalidate("a")
    cache.invalidate("never seen")
    assert len(cache) == 1
    for key in (1, 2):
        await cache.get("a", key, a)
    await cache.get("b", 1, b)
    assert (a.calls, b.calls) == (4, 1)


async def test_invalidate_all() -> None:
    cache, backend = TtlCache[object](), Backend()
    for group in range(3):
        await cache.get(group, 1, backend)
    cache.invalidate_all()
    assert len(cache) == 0
    await cache.get(0, 1, backend)
    assert backend.calls == 4


@pytest.mark.parametrize("drop", [lambda cache: cache.invalidate("a"), lambda cache: cache.invalidate_all()])
async def test_what_is_being_made_when_it_is_dropped_is_not_kept(drop: Callable[[TtlCache[object]], None]) -> None:
    cache, old, new = TtlCache[object](), Backend("old"), Backend("new")
    old.free.clear()
    early = asyncio.create_task(cache.get("a", 1, old))
    await begun(old)
    drop(cache)
    assert await cache.get("a", 1, new) == "new"
    old.free.set()
    assert await early == "old"
    assert await cache.get("a", 1, new) == "new"
    assert (old.calls, new.calls) == (1, 1)


async def test_errors_reach_all_that_wait_and_are_not_kept() -> None:
    cache, backend = TtlCache[object](), Backend(OSError("down"))
    backend.free.clear()
    waiting = [asyncio.create_task(cache.get("a", 1, backend)) for _ in range(3)]
    await begun(backend)
    backend.free.set()
    assert [type(found) for found in await asyncio.gather(*waiting, return_exceptions=True)] == [OSError] * 3
    backend.value = "up"
    assert await cache.get("a", 1, backend) == "up"


async def test_one_that_leaves_takes_nothing_from_the_others() -> None:
    cache, backend = TtlCache[object](), Backend()
    backend.free.clear()
    first, second = (asyncio.create_task(cache.get("a", 1, backend)) for _ in range(2))
    await begun(backend)
    first.cancel()
    await asyncio.wait({first})
    backend.free.set()
    assert first.cancelled() and await second == "value"


async def test_what_nobody_waits_for_is_ended_and_the_next_begins_anew() -> None:
    cache, backend = TtlCache[object](), Backend()
    backend.free.clear()
    first = asyncio.create_task(cache.get("a", 1, backend))
    await begun(backend)
    first.cancel()
    await asyncio.wait({first})
    second = asyncio.create_task(cache.get("a", 1, backend))
    await begun(backend, calls=2)
    backend.free.set()
    assert await second == "value"
    assert (backend.calls, backend.ended) == (2, 2)


async def test_the_one_used_longest_ago_goes_first() -> None:
    cache = TtlCache[object](max_entries=2)
    backends: dict[str, Callable[[], Awaitable[object]]] = {name: Backend(name) for name in "abc"}
    for name in "abacb":  # c drops b, and b is made again
        await cache.get(name, 1, backends[name])
    assert [backends[name].calls for name in "abc"] == [1, 2, 1]  # type: ignore[attr-defined]
    assert len(cache) == 2


async def test_it_holds_nothing_of_what_is_gone() -> None:
    cache = TtlCache[object](max_entries=2)
    for group in range(100):
        await cache.get(group, 1, Backend())
    assert len(cache._groups) == 2 and not cache._flights
