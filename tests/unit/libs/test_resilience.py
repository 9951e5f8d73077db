from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from sutler.context import Call, current, set_current
from sutler.errors import Conflict, Exhausted, NotFound, SutlerError, Unavailable
from sutler.resilience import Breaker, BreakerState, Bulkhead, RateLimit, retry


class Flaky:
    """Raises the errors that it was given, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def down(retry_after: float | None = None) -> Unavailable:
    return Unavailable("down", retry_after=None if retry_after is None else timedelta(seconds=retry_after))


class TestRetry:
    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sutler.resilience.MIN_DELAY_SECONDS", 0.001)

    async def test_until_it_succeeds(self) -> None:
        call = Flaky(down(), down())
        assert await retry(call) == "done"
        assert call.calls == 3

    async def test_what_returns_an_awaitable_is_awaited_in_each_attempt(self) -> None:
        call = Flaky(down(), down())
        assert await retry(lambda: call()) == "done"
        assert call.calls == 3

    async def test_at_most_so_often_and_the_last_error_counts(self) -> None:
        call = Flaky(*(Unavailable(str(number)) for number in range(9)))
        with pytest.raises(Unavailable) as caught:
            await retry(call, attempts=3)
        assert (call.calls, caught.value.message) == (3, "2")

    @pytest.mark.parametrize("error", [NotFound("x"), Exhausted("x"), ValueError("x")])
    async def test_other_errors_are_not_repeated(self, error: Exception) -> None:
        call = Flaky(error)
        with pytest.raises(type(error)):
            await retry(call)
        assert call.calls == 1

    async def test_of_other_kinds_if_asked(self) -> None:
        call = Flaky(Conflict("x"), down())
        assert await retry(call, on=(Conflict, Unavailable)) == "done"

    async def test_no_attempt_that_would_begin_after_the_deadline(self) -> None:
        call = Flaky(down(retry_after=20.0))
        started = time.monotonic()
        with pytest.raises(Unavailable):
            await retry(call, seconds=10.0)
        assert call.calls == 1
        assert time.monotonic() - started < 5

    async def test_no_wait_longer_than_the_caller_is_patient(self) -> None:
        call = Flaky(down(retry_after=0.01), down(retry_after=0.3), down())
        with pytest.raises(Unavailable):
            await retry(call, seconds=10.0, patience=0.1)
        assert call.calls == 2

    async def test_deadline_of_the_current_call(self) -> None:
        async def within(seconds: float) -> int:
            set_current(Call("/a/B", deadline=time.monotonic() + seconds))
            call = Flaky(down(retry_after=0.2))
            with suppress(SutlerError):
                await retry(call)
            return call.calls

        assert await asyncio.create_task(within(0.1)) == 1
        assert await asyncio.create_task(within(30)) == 2
        assert current().deadline is None

    async def test_waits_as_long_as_it_is_asked_to(self) -> None:
        started = time.monotonic()
        assert await retry(Flaky(down(retry_after=0.1))) == "done"
        assert time.monotonic() - started >= 0.1


class TestBreaker:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def breaker(self, clock: Clock) -> Breaker:
        return Breaker("erp", failures=2, window=60, pause=30, clock=clock)

    async def fail(self, breaker: Breaker, error: Exception | None = None) -> None:
        with pytest.raises(type(error) if error else Unavailable):
            async with breaker.guard():
                raise error or Unavailable("down")

    async def open(self, breaker: Breaker) -> None:
        for _ in range(3):
            await self.fail(breaker)
        assert breaker.state is BreakerState.OPEN

    async def succeed(self, breaker: Breaker) -> None:
        async with breaker.guard():
            pass

    async def refused(self, breaker: Breaker) -> Unavailable:
        with pytest.raises(Unavailable) as caught:
            async with breaker.guard():
                pytest.fail("the call was made")
        return caught.value

    async def test_bears_some_failures(self, breaker: Breaker) -> None:
        for _ in range(2):
            await self.fail(breaker)
        await self.succeed(breaker)
        assert breaker.state is BreakerState.CLOSED

    async def test_failures_that_lie_apart_do_not_open_it(self, breaker: Breaker, clock: Clock) -> None:
        for _ in range(9):
            await self.fail(breaker)
            clock.now += 31
        assert breaker.state is BreakerState.CLOSED

    async def test_open_refuses_without_calling_and_says_for_how_long(self, breaker: Breaker, clock: Clock) -> None:
        await self.open(breaker)
        clock.now += 10
        error = await self.refused(breaker)
        assert error.retry_after == timedelta(seconds=20)
        assert (error.reason, error.metadata) == ("DEPENDENCY_UNAVAILABLE", {"dependency": "erp"})

    async def test_success_of_the_probe_closes(self, breaker: Breaker, clock: Clock) -> None:
        await self.open(breaker)
        clock.now += 30
        assert breaker.state is BreakerState.HALF_OPEN
        await self.succeed(breaker)
        assert breaker.state is BreakerState.CLOSED
        await self.fail(breaker)
        await self.fail(breaker)
        assert breaker.state is BreakerState.CLOSED, "old failures count after it was closed"

    async def test_failure_of_the_probe_opens_for_a_whole_pause(self, breaker: Breaker, clock: Clock) -> None:
        await self.open(breaker)
        clock.now += 45
        await self.fail(breaker)
        assert breaker.state is BreakerState.OPEN
        clock.now += 29
        await self.refused(breaker)
        clock.now += 1
        await self.succeed(breaker)

    async def test_errors_that_do_not_count_prove_that_the_other_side_answers(
        self, breaker: Breaker, clock: Clock
    ) -> None:
        for _ in range(9):
            await self.fail(breaker, NotFound("x"))
        assert breaker.state is BreakerState.CLOSED
        await self.open(breaker)
        clock.now += 30
        await self.fail(breaker, NotFound("x"))
        assert breaker.state is BreakerState.CLOSED

    async def test_which_errors_count_is_the_callers_choice(self, breaker: Breaker) -> None:
        for _ in range(3):
            with pytest.raises(NotFound):
                async with breaker.guard(NotFound):
                    raise NotFound("x")
        assert breaker.state is BreakerState.OPEN

    @pytest.mark.parametrize("succeeds", [True, False])
    async def test_of_50_concurrent_callers_exactly_one_is_the_probe(
        self, breaker: Breaker, clock: Clock, succeeds: bool
    ) -> None:
        await self.open(breaker)
        clock.now += 30
        made, answer = [], asyncio.Event()

        async def call(number: int) -> None:
            async with breaker.guard():
                made.append(number)
                await answer.wait()
                if not succeeds:
                    raise Unavailable("still down")

        calls = [asyncio.create_task(call(number)) for number in range(50)]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        clock.now += 1000  # a probe that takes long does not let a second one through
        await self.refused(breaker)
        answer.set()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert made == [0]
        assert sum(isinstance(result, Unavailable) for result in results) == (49 if succeeds else 50)
        assert breaker.state is (BreakerState.CLOSED if succeeds else BreakerState.OPEN)

    async def test_cancelled_probe_decides_nothing_and_the_next_call_is_the_probe(
        self, breaker: Breaker, clock: Clock
    ) -> None:
        await self.open(breaker)
        clock.now += 30
        probe = await _inside(breaker)
        await self.refused(breaker)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        assert breaker.state is BreakerState.HALF_OPEN
        await self.succeed(breaker)
        assert breaker.state is BreakerState.CLOSED

    @pytest.mark.parametrize("ending", ["success", "failure", "cancel"])
    async def test_calls_from_before_it_opened_do_not_decide(self, breaker: Breaker, clock: Clock, ending: str) -> None:
        """Only the probe does: a late answer says how things were."""
        release = asyncio.Event()

        async def old() -> None:
            async with breaker.guard():
                await release.wait()
                if ending == "failure":
                    raise Unavailable("down")

        late = asyncio.create_task(old())
        await asyncio.sleep(0)
        await self.open(breaker)
        clock.now += 30
        probe = await _inside(breaker)
        if ending == "cancel":
            late.cancel()
        release.set()
        await asyncio.gather(late, return_exceptions=True)
        assert breaker.state is BreakerState.HALF_OPEN
        await self.refused(breaker)
        probe.cancel()


async def _inside(breaker: Breaker) -> asyncio.Task[None]:
    """Returns a call that the breaker has let through and that goes on."""
    entered = asyncio.Event()

    async def call() -> None:
        async with breaker.guard():
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(call())
    await entered.wait()
    return task


class TestBulkhead:
    async def test_bounds_what_runs_at_once(self) -> None:
        bulkhead, now, most = Bulkhead("erp", limit=3, max_wait=10), 0, 0

        async def call() -> None:
            nonlocal now, most
            async with bulkhead.place():
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1

        await asyncio.gather(*(call() for _ in range(30)))
        assert most == 3

    @pytest.mark.parametrize("max_wait", [0.0, 0.05])
    async def test_refuses_who_would_wait_too_long(self, max_wait: float) -> None:
        bulkhead = Bulkhead("erp", limit=1, max_wait=max_wait)
        async with bulkhead.place():
            with pytest.raises(Exhausted) as caught:
                async with bulkhead.place():
                    pytest.fail("two at once")
        assert (caught.value.reason, caught.value.metadata) == ("OVERLOADED", {"queue": "erp"})
        assert caught.value.retry_after == timedelta(seconds=max_wait)
        async with bulkhead.place():
            pass

    async def test_gives_the_place_back_after_an_error_and_after_a_cancel(self) -> None:
        bulkhead = Bulkhead("erp", limit=1, max_wait=0)
        with pytest.raises(ValueError):
            async with bulkhead.place():
                raise ValueError
        entered = asyncio.Event()

        async def call() -> None:
            async with bulkhead.place():
                entered.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(call())
        await entered.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with bulkhead.place():
            pass


class TestRateLimit:
    async def count(self, limit: RateLimit, seconds: Callable[[], bool]) -> int:
        done = 0
        while seconds():
            try:
                await limit.turn()
                done += 1
            except Exhausted:
                await asyncio.sleep(0.001)
        return done

    async def test_refuses_what_is_over_the_limit(self) -> None:
        limit = RateLimit("erp", rate=3, seconds=60)
        for _ in range(3):
            await limit.turn()
        with pytest.raises(Exhausted) as caught:
            await limit.turn()
        assert (caught.value.reason, caught.value.metadata) == ("RATE_LIMITED", {"limit": "3 in 60 s"})
        assert caught.value.retry_after == timedelta(seconds=20)

    async def test_lets_calls_through_at_the_rate(self) -> None:
        limit = RateLimit("erp", rate=20, seconds=1)
        started = time.monotonic()
        done = await self.count(limit, lambda: time.monotonic() - started < 0.5)
        assert done <= 20 + 20 * (time.monotonic() - started) + 1
        assert done >= 20

    async def test_waits_for_its_turn(self) -> None:
        limit = RateLimit("erp", rate=1, seconds=0.1, max_wait=5)
        started = time.monotonic()
        for _ in range(3):
            await limit.turn()
        assert time.monotonic() - started >= 0.19

    async def test_less_than_one_call_in_the_time(self) -> None:
        limit = RateLimit("erp", rate=0.5, seconds=60)
        await limit.turn()
        with pytest.raises(Exhausted) as caught:
            await limit.turn()
        assert caught.value.retry_after == timedelta(seconds=120)
