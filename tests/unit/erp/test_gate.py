"""What many calls share: the gate before an ERP, and locks of records."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sutler.errors import Exhausted, FailedPrecondition, Unavailable

from services.erp.connections import BreakerPolicy, RateLimit
from services.erp.faults import AnswerLostError
from services.erp.gate import Gate
from services.erp.locks import RecordLocks
from services.erp.turns import Turns
from tests.unit.erp.test_connections import a_connection


async def test_one_writer_for_each_record_and_nothing_is_kept() -> None:
    locks, inside, most = RecordLocks(), 0, 0

    async def write(ids: list[int]) -> None:
        nonlocal inside, most
        async with locks.hold("m", ids):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(write([1, 2]) for _ in range(20)), *(write([2, 1]) for _ in range(20)))
    assert most == 1
    assert locks._locks == {}


def a_gate(told: list[Any] | None = None, **spec: Any) -> Gate:
    heard = told if told is not None else []
    return Gate("connections/main", a_connection(**spec).spec, lambda error, is_open: heard.append((error, is_open)))


async def test_the_gate_bounds_calls_and_the_wait_for_them() -> None:
    gate, inside, most = a_gate(max_concurrency=3, max_queue_wait=0.02), 0, 0
    release = asyncio.Event()

    async def call() -> None:
        nonlocal inside, most
        async with gate.turn():
            inside += 1
            most = max(most, inside)
            await release.wait()

    calls = [asyncio.create_task(call()) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Exhausted) as caught:
        async with gate.turn():
            pass
    assert caught.value.reason == "OVERLOADED"
    release.set()
    await asyncio.gather(*calls)
    await gate.idle()
    assert most == 3


async def test_the_gate_leaves_an_erp_alone_that_fails_and_probes_once() -> None:
    told: list[Any] = []
    gate = a_gate(told, breaker_policy=BreakerPolicy(failure_limit=2, open_duration=0.05))
    for error in (Unavailable("x"), AnswerLostError(Unavailable("the answer was lost"))):
        with pytest.raises((Unavailable, AnswerLostError)):
            async with gate.turn():
                raise error
    assert [is_open for _, is_open in told] == [False, True]
    with pytest.raises(Unavailable) as caught:
        async with gate.turn():
            pytest.fail("was let through")
    assert caught.value.reason == "BREAKER_OPEN"
    assert caught.value.message.endswith("; at last the answer was lost")
    assert caught.value.retry_after is not None
    async with gate.turn(probe=True):
        pass
    await asyncio.sleep(0.06)
    async with gate.turn():
        with pytest.raises(Unavailable):
            async with gate.turn():
                pytest.fail("a second probe was let through")
    async with gate.turn():
        pass
    assert not gate.open


async def test_the_gate_keeps_to_the_rate_and_is_shut_when_switched_off() -> None:
    gate = a_gate(rate_limit=RateLimit(calls=2, interval=10.0), max_queue_wait=0.0)
    for _ in range(2):
        async with gate.turn():
            pass
    with pytest.raises(Exhausted) as caught:
        async with gate.turn():
            pass
    assert caught.value.reason == "RATE_LIMITED"
    with pytest.raises(FailedPrecondition) as off:
        async with a_gate(disabled=True).turn():
            pass
    assert off.value.reason == "CONNECTION_DISABLED"


async def test_turns_go_around_between_callers_and_nobody_is_lost() -> None:
    turns, order = Turns("connections/main", 1, None, 5.0), list[str]()

    async def call(caller: str) -> None:
        async with turns.turn(caller):
            order.append(caller)
            await asyncio.sleep(0)

    async with turns.turn("first"):
        calls = [asyncio.create_task(call(caller)) for caller in ["greedy"] * 6 + ["modest"] * 2]
        await asyncio.sleep(0)
        assert turns.waiting == 8
        given_up = calls.pop(0)
        given_up.cancel()
        await asyncio.sleep(0)
    await asyncio.gather(*calls)
    assert order == ["greedy", "modest"] * 2 + ["greedy"] * 3
    assert turns.waiting == 0
    await asyncio.wait_for(call("later"), 1)


async def test_a_turn_whose_caller_gives_up_as_it_comes_goes_to_the_next() -> None:
    turns = Turns("connections/main", 1, None, 5.0)

    async def call() -> None:
        async with turns.turn("a"):
            pass

    async with turns.turn("first"):
        leaving, staying = asyncio.create_task(call()), asyncio.create_task(call())
        await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait_for(staying, 1)
    await asyncio.wait_for(call(), 1)


async def test_a_burst_may_come_at_once_and_the_rest_at_the_rate() -> None:
    gate = a_gate(rate_limit=RateLimit(calls=1, interval=0.05, burst=3), max_queue_wait=5.0)
    loop = asyncio.get_running_loop()
    began, times = loop.time(), list[float]()

    async def call() -> None:
        async with gate.turn():
            times.append(loop.time() - began)

    await asyncio.gather(*(call() for _ in range(5)))
    assert max(times[:3]) < 0.045
    assert times[3] >= 0.045
    assert times[4] >= 0.095


async def test_one_wait_bounds_place_and_rate_together() -> None:
    gate = a_gate(max_concurrency=1, rate_limit=RateLimit(calls=1, interval=10.0), max_queue_wait=0.1)
    loop = asyncio.get_running_loop()

    async def holder() -> None:
        async with gate.turn():
            await asyncio.sleep(0.08)

    holding = asyncio.create_task(holder())
    await asyncio.sleep(0)
    began = loop.time()
    with pytest.raises(Exhausted) as caught:
        async with gate.turn():
            pass
    assert loop.time() - began < 0.16
    assert caught.value.reason == "RATE_LIMITED"
    assert caught.value.retry_after is not None
    await holding


async def test_large_answers_of_all_connections_share_the_room_of_the_process() -> None:
    room = asyncio.Semaphore(1)
    one, other = (Gate(name, a_connection().spec, lambda error, is_open: None, room=room) for name in ("one", "other"))
    async with other.turn() as small, one.turn() as first:
        await first.make_room()
        await first.make_room()
        waiting = asyncio.create_task(small.make_room())
        await asyncio.sleep(0)
        async with one.turn():
            assert not waiting.done()
        first.end()
        await waiting
        assert room.locked()
    assert not room.locked()
