import asyncio
from typing import Any

import pytest
from sutler.cache.v1 import cache_pb2
from sutler.context import Call, set_current
from sutler.errors import DeadlineExceeded
from sutler.interceptors.idempotency import IdempotencyInterceptor
from sutler.methods import find_method

REQUEST = cache_pb2.CreateCacheRequest(cache_id="a", request_id="4f8e0f5e-0000-4000-8000-000000000000")


class Nothing:
    """Answers that remember nothing."""

    late = ()
    cancellable: tuple[str, ...] = ()

    async def find(self, tenant: str, method: str, request_id: str) -> None:
        return None


async def test_who_comes_when_the_first_has_just_failed_is_a_first_itself() -> None:
    entered, gate, calls = asyncio.Event(), asyncio.Event(), 0

    async def handler(request: Any, context: Any) -> cache_pb2.Cache:
        nonlocal calls
        calls += 1
        if calls == 1:
            entered.set()
            await gate.wait()
            raise DeadlineExceeded("the deadline of the first caller has passed")
        return cache_pb2.Cache(name="caches/a")

    method = find_method("/sutler.cache.v1.CacheService/CreateCache", False, False, area="cache")
    call = IdempotencyInterceptor(Nothing()).single(method, handler)

    async def come(gate: asyncio.Event | None = None) -> Any:
        if gate is not None:
            await gate.wait()
        set_current(Call(method.path))
        return await call(REQUEST, None)  # type: ignore[arg-type]

    first = asyncio.create_task(come())
    await entered.wait()
    second = asyncio.create_task(come(gate))
    await asyncio.sleep(0)
    gate.set()  # wakes the handler, then the second in the same turn of the loop
    with pytest.raises(DeadlineExceeded):
        await first
    assert (await second).name == "caches/a"
    assert calls == 2


@pytest.mark.parametrize("cancellable", [False, True])
async def test_only_calls_that_may_be_cancelled_end_with_their_callers(cancellable: bool) -> None:
    method = find_method("/sutler.cache.v1.CacheService/CreateCache", False, False, area="cache")
    entered, gate, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(request: Any, context: Any) -> cache_pb2.Cache:
        try:
            entered.set()
            await gate.wait()
        finally:
            ended.set()
        return cache_pb2.Cache()

    answers = Nothing()
    answers.cancellable = (method.path,) if cancellable else ()
    call = IdempotencyInterceptor(answers).single(method, handler)
    set_current(Call(method.path))
    calling = asyncio.create_task(call(REQUEST, None))  # type: ignore[arg-type]
    await entered.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert ended.is_set() is cancellable
    gate.set()
    await ended.wait()
