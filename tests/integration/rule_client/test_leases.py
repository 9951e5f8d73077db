"""Leases under handlers: slow ones, lost ones, workers that stop or die."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import sys
from pathlib import Path

import pytest
from sutler.client import Sutler, rules
from sutler.errors import Conflict
from sutler.rule.v1 import rule_pb2 as pb
from sutler.testing import wait_until

from tests.integration.rule.conftest import Tenant, on_both, token
from tests.integration.rule.test_processes import Process, connected

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROOT = Path(__file__).resolve().parents[3]


async def task_of(t: Tenant) -> pb.Task:
    (task,) = (await t.s.rules.ListTasks(pb.ListTasksRequest(parent="queues/shop"))).tasks
    return task


async def test_a_lease_lasts_as_long_as_its_handler(t: Tenant, shop: rules.Handlers) -> None:

    @shop.on("a")
    async def slow(ctx: rules.Context) -> None:
        began = ctx.task.lease_expire_time.ToSeconds()

        async def extended() -> bool:
            return (await task_of(t)).lease_expire_time.ToSeconds() > began + 1

        await wait_until(extended, 30)

    async with rules.worker(t.s, shop, lease_seconds=2), rules.worker(t.s, shop, lease_seconds=2):
        await rules.emit(t.s, "a", wait=30)
    task = await task_of(t)
    assert (task.state, task.pull_count) == (pb.Task.STATE_SUCCEEDED, 1)


@on_both
async def test_a_lost_lease_ends_the_handler_and_its_writes_go_nowhere(t: Tenant, shop: rules.Handlers) -> None:
    ended: list[str] = []
    running = asyncio.Event()

    @shop.on("a")
    async def handle(ctx: rules.Context) -> None:
        await ctx.subject.set("by", ctx.task.worker_id)
        await ctx.emit("b")
        running.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")  # and goes on as if nothing had been
        with pytest.raises(Conflict) as caught:
            await ctx.subject.flush()
        ended.append(caught.value.reason)

    async with rules.worker(t.s, shop, lease_seconds=1):
        await rules.emit(t.s, "a", subject="o/1")
        await asyncio.wait_for(running.wait(), 30)
        await t.s.rules.DeleteRule(pb.DeleteRuleRequest(name="rules/shop.handle", force=True))
        await wait_until(lambda: len(ended) == 2, 30)
    assert ended == ["cancelled", "LEASE_LOST"]
    assert await t.events('type = "b"') == []
    assert (await t.s.rules.ListSubjects(pb.ListSubjectsRequest())).subjects == []
    assert (await task_of(t)).state == pb.Task.STATE_CANCELLED


async def test_who_stops_lets_handlers_finish_and_gives_the_others_back(t: Tenant, shop: rules.Handlers) -> None:
    begun: list[str] = []
    may_end = asyncio.Event()

    @shop.on("a")
    async def handle(ctx: rules.Context) -> None:
        begun.append(ctx.payload)
        if len(begun) <= 2:
            await (may_end.wait() if ctx.payload == "short" else asyncio.Event().wait())
        await ctx.subject.set("done", ctx.attempt)

    async with rules.worker(t.s, shop, lease_seconds=3600, stop_seconds=1):
        await rules.emit(t.s, "a", "short", "s/short")
        await rules.emit(t.s, "a", "long", "s/long")
        await wait_until(lambda: len(begun) == 2, 30)
        asyncio.get_running_loop().call_later(0.2, may_end.set)
    assert await t.subject("s/short") == {"done": 1.0}
    async with rules.worker(t.s, shop):
        await wait_until(lambda: len(begun) == 3, 30)
    assert await t.subject("s/long") == {"done": 1.0}


async def test_no_more_run_at_once_than_told(t: Tenant, shop: rules.Handlers) -> None:
    most = now = 0

    @shop.on("a")
    async def handle(ctx: rules.Context) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1

    async with rules.worker(t.s, shop, concurrency=3):
        await asyncio.gather(*(rules.emit(t.s, "a", subject=f"s/{n}", wait=30) for n in range(12)))
    assert most == 3


@pytest.mark.timeout(180)
async def test_a_worker_outlives_a_kill_of_the_service(tmp_path: Path, free_port: int, shop: rules.Handlers) -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    @shop.on("a")
    async def handle(ctx: rules.Context) -> None:
        await ctx.subject.increment("n")
        begun.set()
        await may_end.wait()

    process = Process(f"sqlite:///{tmp_path}/rule.db", free_port, "127.0.0.1:1")
    await process.start()
    async with connected(process.address) as t:
        async with rules.worker(t.s, shop):
            events = [await rules.emit(t.s, "a", subject="o/1") for _ in range(2)]
            await asyncio.wait_for(begun.wait(), 30)
            await process.kill()
            may_end.set()
            await process.start()
            for event in events:
                await wait_until(functools.partial(complete, t.s, event), 30)
        assert await t.subject("o/1") == {"n": 2.0}
    assert await process.stop() == 0


PROGRAM = """
import asyncio, os, sys
from sutler.client import connect, rules

shop = rules.Handlers("shop")

@shop.on("a")
async def handle(ctx):
    await ctx.subject.increment("n")
    await ctx.emit("b")
    if ctx.task.pull_count == 1 and ctx.payload:
        print("begun", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

async def main():
    async with connect(sys.argv[1], token=sys.argv[2]) as s, rules.worker(s, shop, lease_seconds=1) as worker:
        print("ready", flush=True)
        await worker.serve()
    print("stopped", flush=True)

asyncio.run(main())
"""


async def start(t: Tenant) -> asyncio.subprocess.Process:
    """Starts a worker as a process, and returns it when it has declared its rules."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, t.server.address, token(t.name)),
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert await line(process) == "ready"
    return process


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 30)).decode().strip()


async def stop(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    assert await line(process) == "stopped"
    assert await process.wait() == 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fate", [signal.SIGKILL, signal.SIGSTOP])
async def test_what_a_dead_worker_had_begun_another_does_and_effects_are_there_once(
    t: Tenant, fate: signal.Signals
) -> None:
    """One that was only stopped, for longer than its lease, goes on when it is late, and changes nothing."""
    first = await start(t)
    event = await rules.emit(t.s, "a", True, "o/1")
    assert await line(first) == "begun"
    first.send_signal(fate)
    other = await start(t)
    await wait_until(lambda: complete(t.s, event), 30)
    if fate == signal.SIGSTOP:
        assert first.stdin is not None
        first.stdin.write(b"go on\n")
        first.send_signal(signal.SIGCONT)
        await stop(first)
    else:
        await first.wait()
    await stop(other)
    assert await t.subject("o/1") == {"n": 1.0}
    assert len(await t.events('type = "b"')) == 1
    rule = await t.s.rules.GetRule(pb.GetRuleRequest(name="rules/shop.handle"))
    assert rule.latest_revision.endswith("/1")


async def complete(s: Sutler, event: str) -> bool:
    return (await s.rules.GetCascade(pb.GetCascadeRequest(name=f"{event}/cascade"))).complete
