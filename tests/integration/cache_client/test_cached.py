"""@cached through a real channel: one flight, None, staleness, errors, outages."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import Sutler
from sutler.client.cache import Cache, Handlers, NearCache, SyncCache, cached, open, open_sync, use
from sutler.errors import Conflict, NotFound, Unavailable
from sutler.server import Running
from sutler.testing import wait_until

from tests.integration.cache_client.conftest import STALE_SECONDS
from tests.unit.client_cache.values import Connection, Point

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def sync_cache(server: Running, name: str, rules: pb.Cache) -> AsyncIterator[SyncCache]:
    """The same cache as ``cache``, for functions without asyncio."""
    opened = open_sync(name, server.address, rules=rules, handlers=Handlers())
    yield await asyncio.to_thread(opened.__enter__)
    await asyncio.to_thread(opened.__exit__, None, None, None)


class Counter:
    """Counts calls, and gives what it is told to."""

    def __init__(self, *results: Any) -> None:
        self.results = list(results)
        self.calls = 0
        self._lock = threading.Lock()

    def __call__(self) -> Any:
        with self._lock:
            self.calls += 1
            result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, BaseException):
            raise result
        return result


@pytest.mark.parametrize("value", [None, [], "", 0, {"a": (1, 2)}])
async def test_a_result_is_computed_once(cache: Cache, value: Any) -> None:
    work = Counter(value)

    @cached(cache=cache, ttl=60)
    async def load(a: int, *, b: str = "x") -> Any:
        return work()

    assert [await load(1), await load(a=1), await load(1, b="x")] == [value] * 3
    assert work.calls == 1 and await load(2) == value and work.calls == 2
    info = load.info()
    assert (info.hits, info.misses, info.errors) == (2, 2, 0)


async def test_sync_functions_run_in_the_thread_of_their_caller(sync_cache: SyncCache) -> None:
    threads = []

    @cached(cache=sync_cache)
    def load(a: int) -> int:
        threads.append(threading.current_thread().name)
        return a + 1

    def program() -> tuple[int, int, str]:
        return load(1), load(1), threading.current_thread().name

    first, second, thread = await asyncio.to_thread(program)
    assert (first, second, threads) == (2, 2, [thread])
    info = load.info()
    assert (info.hits, info.misses) == (1, 1)


async def test_an_async_function_may_use_a_cache_of_another_loop(sync_cache: SyncCache) -> None:
    work = Counter(5)

    @cached(cache=sync_cache)
    async def load() -> int:
        return work()  # type: ignore[no-any-return]

    assert [await load(), await load()] == [5, 5] and work.calls == 1
    assert await load.invalidate() is True and await load.invalidate() is False


async def test_a_sync_function_does_not_stop_its_own_loop(cache: Cache) -> None:
    @cached(cache=cache)
    def load() -> int:
        return 1

    with pytest.raises(RuntimeError, match="open_sync"):
        load()


async def test_of_many_at_once_one_computes(cache: Cache) -> None:
    work, go = Counter([1]), asyncio.Event()

    @cached(cache=cache)
    async def load() -> list[int]:
        work()
        await go.wait()
        return [1]

    tasks = [asyncio.create_task(load()) for _ in range(100)]
    await wait_until(lambda: work.calls == 1)
    go.set()
    results = await asyncio.gather(*tasks)
    assert work.calls == 1 and results == [[1]] * 100
    assert len({id(result) for result in results}) == 100


async def test_of_many_clients_one_computes(server: Running, name: str, rules: pb.Cache) -> None:
    work, go = Counter(7), threading.Event()

    def load(a: int) -> int:
        result = work()
        assert go.wait(10)
        return result  # type: ignore[no-any-return]

    contexts = [open_sync(name, server.address, rules=rules, handlers=Handlers()) for _ in range(4)]
    caches = [await asyncio.to_thread(each.__enter__) for each in contexts]
    functions = [cached(cache=each, prefix="load")(load) for each in caches]
    tasks = [asyncio.create_task(asyncio.to_thread(function, 1)) for function in functions for _ in range(3)]
    await wait_until(lambda: work.calls == 1)
    go.set()
    assert await asyncio.gather(*tasks) == [7] * 12 and work.calls == 1
    for each in contexts:
        await asyncio.to_thread(each.__exit__, None, None, None)


async def test_an_exception_is_raised_and_not_kept(cache: Cache) -> None:
    work = Counter(ValueError("first"), 5)

    @cached(cache=cache)
    async def load() -> int:
        return work()  # type: ignore[no-any-return]

    with pytest.raises(ValueError, match="first"):
        await load()
    assert [await load(), await load()] == [5, 5] and work.calls == 2


async def test_who_waits_gets_the_exception_too(cache: Cache) -> None:
    go = asyncio.Event()
    work = Counter(ValueError("x"), 5)

    @cached(cache=cache)
    async def load() -> Any:
        await go.wait()
        return work()

    tasks = [asyncio.create_task(load()) for _ in range(3)]
    await wait_until(lambda: any(flight.waiting == 2 for flight in cache.flights._flights.values()))
    go.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 3
    assert await load() == 5


async def test_a_caller_that_is_cancelled_leaves_its_turn_to_the_next(cache: Cache) -> None:
    work, go = Counter(1), asyncio.Event()

    @cached(cache=cache)
    async def load() -> int:
        work()
        await go.wait()
        return 1

    first, second = asyncio.create_task(load()), asyncio.create_task(load())
    await wait_until(lambda: work.calls == 1)
    first.cancel()
    await wait_until(lambda: work.calls == 2)
    go.set()
    assert await second == 1 and first.cancelled()


async def test_a_dead_holder_holds_up_nobody_for_longer_than_its_lease(cache: Cache, sutler: Sutler) -> None:
    @cached(cache=cache, prefix="p", key=lambda: "k")
    async def load() -> int:
        return 1

    lease = pb.LeaseEntryRequest(cache=cache.name, key=load.key())
    lease.lease_duration.FromMilliseconds(300)
    assert (await sutler.cache.LeaseEntry(lease)).HasField("lease")
    assert await load() == 1
    assert await cache.get("p:=k") == 1


async def test_a_long_computation_keeps_its_lease(cache: Cache, sutler: Sutler) -> None:
    go = asyncio.Event()

    @cached(cache=cache, lease=1.0)
    async def load() -> int:
        await go.wait()
        return 1

    task = asyncio.create_task(load())
    await wait_until(lambda: len(cache.flights._background))
    ask = pb.LeaseEntryRequest(cache=cache.name, key=load.key())
    ask.wait_timeout.FromMilliseconds(2500)
    with pytest.raises(Conflict) as caught:
        await sutler.cache.LeaseEntry(ask)
    assert caught.value.reason == "LEASE_HELD"
    go.set()
    assert await task == 1 and await cache.get(load.key()) == 1


async def test_who_waits_too_long_computes_itself(cache: Cache, sutler: Sutler) -> None:
    @cached(cache=cache, wait=0.2)
    async def load() -> int:
        return 1

    assert (await sutler.cache.LeaseEntry(pb.LeaseEntryRequest(cache=cache.name, key=load.key()))).HasField("lease")
    assert await load() == 1
    assert await cache.get(load.key()) is None


async def test_what_was_invalidated_while_it_was_computed_does_not_get_in(cache: Cache) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    @cached(cache=cache, tags=["t"])
    async def load() -> int:
        begun.set()
        await go.wait()
        return 1

    task = asyncio.create_task(load())
    await begun.wait()
    await cache.invalidate(tags=["t"])
    go.set()
    assert await task == 1
    assert not await cache.exists(load.key())


async def test_who_comes_after_an_invalidation_never_gets_what_was_computed_before(cache: Cache) -> None:
    begun, go, works = asyncio.Event(), asyncio.Event(), [1, 2]

    @cached(cache=cache, tags=["t"])
    async def load() -> int:
        result = works.pop(0)
        begun.set()
        await go.wait()
        return result

    early = asyncio.create_task(load())
    await begun.wait()
    await cache.invalidate(tags=["t"])
    late = asyncio.create_task(load())
    await wait_until(lambda: any(flight.waiting for flight in cache.flights._flights.values()))
    go.set()
    assert [await early, await late] == [1, 2] and await cache.get(load.key()) == 2


async def test_what_is_not_kept_still_goes_to_those_who_wait(cache: Cache) -> None:
    go, work = asyncio.Event(), Counter(1)

    @cached(cache=cache, cache_if=lambda result: False)
    async def load() -> int:
        await go.wait()
        return work()  # type: ignore[no-any-return]

    tasks = [asyncio.create_task(load()) for _ in range(5)]
    await wait_until(lambda: any(flight.waiting == 4 for flight in cache.flights._flights.values()))
    go.set()
    assert await asyncio.gather(*tasks) == [1] * 5 and work.calls == 1 and not await cache.exists(load.key())


async def test_what_cannot_be_read_is_computed_and_left_as_it_is(cache: Cache, sutler: Sutler) -> None:
    @cached(cache=cache)
    async def load() -> int:
        return 1

    entry = pb.Entry(inline_value=b"x", data_type="parquet")
    await sutler.cache.PutEntry(pb.PutEntryRequest(cache=cache.name, key=load.key(), entry=entry))
    assert await load() == 1 and load.info().errors == 1
    kept = await cache.entry(load.key())
    assert kept is not None and kept.data_type == "parquet"


async def test_a_stale_result_is_given_while_it_is_computed_anew(cache: Cache) -> None:
    work = Counter(1, 2)

    @cached(cache=cache, stale=600)
    async def load() -> int:
        return work()  # type: ignore[no-any-return]

    assert await load() == 1
    await cache.invalidate(all=True, expire_only=True)
    assert await load() == 1
    await wait_until(lambda: work.calls == 2)

    async def renewed() -> bool:
        return bool(await cache.get(load.key()) == 2)

    await wait_until(renewed)
    assert await load() == 2 and load.info().stale_hits >= 1


async def test_a_stale_result_is_given_by_sync_functions_too(sync_cache: SyncCache) -> None:
    work = Counter(1, 2)

    @cached(cache=sync_cache, stale=600)
    def load() -> int:
        return work()  # type: ignore[no-any-return]

    def program() -> None:
        assert load() == 1
        sync_cache.invalidate(all=True, expire_only=True)
        assert load() == 1

    await asyncio.to_thread(program)

    async def renewed() -> bool:
        return bool(await sync_cache.cache.here(sync_cache.cache.get(load.key())) == 2)

    await wait_until(renewed)


@pytest.mark.parametrize("kept", [0, STALE_SECONDS])
async def test_who_wants_more_stale_values_than_are_kept_is_told(
    sutler: Sutler, name: str, rules: pb.Cache, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    rules.stale_retention.FromSeconds(kept)
    async with open(name, sutler, rules=rules) as cache:

        @cached(cache=cache, stale=600)
        async def load(a: int) -> int:
            return a

        assert [await load(1), await load(2)] == [1, 2]
        await wait_until(lambda: not len(cache.flights._background))
    told = [record.getMessage() for record in caplog.records if "stale_retention" in record.getMessage()]
    assert len(told) == (kept == 0)


async def test_an_api_that_fails_is_answered_with_the_last_result(cache: Cache) -> None:
    work = Counter({"a": 1}, OSError("down"), {"a": 2})

    @cached.for_api(cache=cache)
    async def load() -> Any:
        return work()

    assert await load() == {"a": 1}
    entry = await cache.entry(load.key())
    assert entry is not None and entry.ttl is not None and entry.ttl.total_seconds() == 6 * 3600
    await cache.invalidate(all=True, expire_only=True)
    assert await load() == {"a": 1} and load.info().stale_hits == 1
    assert await load() == {"a": 2}


async def test_only_what_the_condition_allows_is_kept(cache: Cache) -> None:
    work = Counter(None, 5)

    @cached(cache=cache, cache_if=lambda result: result is not None)
    async def load() -> Any:
        return work()

    assert [await load(), await load(), await load()] == [None, 5, 5] and work.calls == 2


async def test_results_can_be_invalidated_and_refreshed(cache: Cache) -> None:
    work = Counter(1, 2, 3, 4, 5)

    @cached(cache=cache, tags=lambda a: [f"customer:{a}"], ttl=60)
    async def load(a: int) -> int:
        return work()  # type: ignore[no-any-return]

    assert [await load(7), await load(8)] == [1, 2]
    assert await load.invalidate(7) is True and await load(7) == 3
    assert await load.refresh(8) == 4 and await load(8) == 4
    entry = await cache.entry(load.key(8))
    assert entry is not None and entry.tags == ("customer:8",) and entry.ttl is not None
    await cache.put("other", 1)
    assert await load.invalidate_all() == 2 and await cache.exists("other")
    assert await load(8) == 5


async def test_methods_are_cached_by_their_object(cache: Cache) -> None:
    calls: list[Any] = []

    class Api(Connection):
        @cached(cache=cache)
        async def load(self, a: int) -> str:
            calls.append(a)
            return f"{self.host} {a}"

    one, other = Api("one"), Api("other")
    assert [await one.load(1), await Api("one").load(1), await other.load(1)] == ["one 1", "one 1", "other 1"]
    assert len(calls) == 2
    assert await one.load.invalidate(1) is True and await other.load.invalidate(2) is False
    assert Api.load.info().misses == 2


async def test_what_cannot_be_kept_is_an_error_not_silence(cache: Cache) -> None:
    @cached(cache=cache)
    async def load(a: object = None) -> Any:
        return Point(1)

    with pytest.raises(TypeError, match="no handler"):
        await load()
    with pytest.raises(TypeError, match="argument 'a'"):
        await load(object())
    with pytest.raises(TypeError, match="generator"):
        cached(cache=cache)(generate)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"tags": "fx"}, TypeError, "tags=\\['fx'\\]"),
        ({"ignore": "log"}, TypeError, "ignore=\\['log'\\]"),
        ({"key": "fixed"}, TypeError, "prefix="),
        ({"ttl": -1}, ValueError, "ttl is -1"),
        ({"ttl": "1h"}, TypeError, "ttl is '1h': give seconds or a timedelta"),
        ({"lease": "10s"}, TypeError, "lease is '10s'"),
        ({"stale": -0.5}, ValueError, "stale is -0.5"),
    ],
    ids=str,
)
async def test_wrong_options_are_refused_where_they_stand(options: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        cached(**options)


async def test_wrong_uses_of_the_decorator_say_what_is_right() -> None:
    decorators: list[Any] = [cached, cached.for_api]
    for decorator in decorators:
        with pytest.raises(TypeError, match=r"@cached\(\)"):
            decorator(numbers)
    with pytest.raises(TypeError, match="below @staticmethod"):
        cached()(staticmethod(numbers))  # type: ignore[arg-type]


class Prices(Connection):
    @cached()
    async def latest(self, a: int) -> int:
        return a

    @staticmethod
    @cached()
    async def static(a: int) -> int:
        return a


@cached()
def total(a: int) -> int:
    return a


async def test_cached_functions_can_be_sent_to_other_processes(cache: Cache) -> None:
    assert pickle.loads(pickle.dumps(total)) is total
    sent = pickle.loads(pickle.dumps(Prices("one").latest))
    use(cache)
    try:
        assert await sent(1) == 1 and await Prices("one").latest.invalidate(1) is True
        assert [await Prices.static(2), await Prices("one").static(2)] == [2, 2]
    finally:
        use(None)


def generate() -> Iterator[int]:
    yield 1


async def test_a_function_needs_a_cache_that_is_there(cache: Cache, sutler: Sutler) -> None:
    @cached()
    async def load() -> int:
        return 1

    with pytest.raises(RuntimeError, match="no cache"):
        await load()
    use(cache)
    try:
        assert await load() == 1 and await cache.exists(load.key())
    finally:
        use(None)
    async with open("not-there", sutler) as other:
        with pytest.raises(NotFound) as caught:
            await cached(cache=other)(load.__wrapped__)()  # type: ignore[attr-defined]
        assert caught.value.reason == "CACHE_NOT_FOUND"


async def test_a_cache_that_is_down_is_left_alone(free_port: int) -> None:
    work = Counter([1])
    async with open("prices", f"127.0.0.1:{free_port}") as cache:

        @cached(cache=cache, timeout=0.3)
        async def load(a: int) -> Any:
            return work()

        results = [await load(a) for a in range(6)]
        assert results == [[1]] * 6 and work.calls == 6
        assert load.info().errors == load.info().misses == 6
        began = asyncio.get_running_loop().time()
        assert await load(7) == [1]
        assert asyncio.get_running_loop().time() - began < 0.1  # the breaker is open: nobody is called

        @cached(cache=cache, timeout=0.3, required=True)
        async def strict() -> Any:
            return work()

        with pytest.raises(Unavailable):
            await strict()


async def test_at_a_cache_that_is_down_one_computes_for_all(free_port: int) -> None:
    work, go = Counter([1]), asyncio.Event()
    async with open("prices", f"127.0.0.1:{free_port}") as cache:

        @cached(cache=cache, timeout=0.3)
        async def load() -> Any:
            await go.wait()
            return work()

        tasks = [asyncio.create_task(load()) for _ in range(10)]
        await wait_until(lambda: any(flight.waiting == 9 for flight in cache.flights._flights.values()))
        go.set()
        assert await asyncio.gather(*tasks) == [[1]] * 10 and work.calls == 1


async def test_arrays_are_given_as_copies_or_shared(cache: Cache) -> None:
    made: Callable[..., Any] = cached(cache=cache, prefix="copy")(numbers)
    shared: Callable[..., Any] = cached(cache=cache, prefix="copy", copy=False)(numbers)
    await made()
    one = await made()
    one[0] = 5
    assert (await made())[0] == 0
    with pytest.raises(ValueError, match="read-only"):
        (await shared())[0] = 5


async def numbers() -> Any:
    return np.arange(300_000)


async def test_a_near_cache_serves_what_is_still_current(cache: Cache, near_cache: Cache) -> None:
    work = Counter(1, 2)

    @cached(cache=near_cache, prefix="p", tags=["t"])
    async def load() -> int:
        return work()  # type: ignore[no-any-return]

    assert await load() == 1
    assert [await load(), await load()] == [1, 1] and load.info().near_hits == 2

    await cache.invalidate(tags=["t"])
    await wait_until(lambda: len(near_cache.near or ()) == 0)
    assert await load() == 2 and work.calls == 2


async def test_a_near_cache_does_not_outlive_its_feed(server: Running, name: str, rules: pb.Cache) -> None:
    near = NearCache()
    async with open(name, server.address, rules=rules, near=near) as cache:
        await wait_until(lambda: near.is_live)
        await cache.put("k", 1)
        assert cache.held("k") == 1
    assert not near.is_live and len(near) == 0


async def test_a_turn_whose_caller_is_gone_goes_to_the_next(cache: Cache) -> None:
    @cached(cache=cache, lease=0.3, wait=10)
    async def load() -> int:
        return 1

    answer = await cache.flights.begin(load.key(), load._policy)
    assert answer.turn is not None and answer.turn.token
    assert await load() == 1 and await cache.get(load.key()) == 1


async def test_a_forked_process_is_told_to_open_its_own(cache: Cache, sync_cache: SyncCache) -> None:
    @cached(prefix="p")
    async def load() -> int:
        return 1

    use(sync_cache)
    cache._stub._process = sync_cache.cache._stub._process = 1
    uses: list[Any] = [load, lambda: cache.get("k"), lambda: cache.entry("k"), lambda: cache.put("k", 1)]
    try:
        with pytest.raises(RuntimeError, match="forked"):
            sync_cache.get("k")
        for each in uses:
            with pytest.raises(RuntimeError, match="forked"):
                await each()
    finally:
        use(None)


async def test_a_value_is_computed_once_by_key(cache: Cache, sync_cache: SyncCache) -> None:
    work = Counter({"a": 1}, OSError("down"))

    async def compute() -> Any:
        return work()

    assert [await cache.get_or_compute("k", compute, tags=["t"], ttl=60) for _ in range(3)] == [{"a": 1}] * 3
    assert await asyncio.to_thread(sync_cache.get_or_compute, "k", work) == {"a": 1}
    assert work.calls == 1
    await cache.invalidate(tags=["t"], expire_only=True)
    assert await cache.get_or_compute("k", compute, stale_if_error=60) == {"a": 1}
    with pytest.raises(OSError, match="down"):
        await cache.get_or_compute("k", compute)
    with pytest.raises(OSError, match="down"):
        await asyncio.to_thread(sync_cache.get_or_compute, "k", work)


async def test_of_a_thousand_at_once_one_computes(cache: Cache) -> None:
    work, go = Counter(1), asyncio.Event()

    async def compute() -> int:
        await go.wait()
        return work()  # type: ignore[no-any-return]

    tasks = [asyncio.create_task(cache.get_or_compute("k", compute)) for _ in range(1000)]
    await wait_until(lambda: any(flight.waiting == 999 for flight in cache.flights._flights.values()))
    go.set()
    assert await asyncio.gather(*tasks) == [1] * 1000 and work.calls == 1
