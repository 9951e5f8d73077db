"""The service is killed and stopped again and again while it works: nothing accepted is lost, nothing is done twice.

The short run is part of the suite. The long one (``make crash``) takes a new seed each time and prints it; ``SEED=…``
repeats its decisions, and ``KILLS=…`` says how many there are.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from sutler.client import Sutler, connect
from sutler.errors import SutlerError
from sutler.rule.v1 import rule_pb2 as pb
from sutler.testing import wait_until

from tests.integration.rule.conftest import NATS, SECRET, Server, Tenant, create, database_url, event, rule, token
from tests.integration.rule.killing import Counting, Process, serving
from tests.integration.rule.lives import COMMON, RULES, Caller, Replicas, Worker, append
from tests.integration.rule.nats_server import NatsServer, carried, jetstream
from tests.integration.rule.settled import check, everything
from tests.integration.rule.target import Target
from tests.integration.rule.target import serving as serving_target

SEED = 20261189
FEW, MANY = 2, 200
"""How often something is done to processes. With this seed, first one is stopped and then all are killed."""

WORKERS = 3
REPLICAS = {"sqlite": 1, "postgresql": 3, NATS: 3}
LEASE_SECONDS = 1.0


@pytest.mark.timeout(240)
async def test_a_few_kills(tmp_path: Path) -> None:
    await kill_again_and_again(FEW, str(SEED), "postgresql", tmp_path, callers=2)


@pytest.mark.crash
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", [*REPLICAS])
async def test_many_kills(engine: str, tmp_path: Path) -> None:
    seed = os.environ.get("SEED") or str(random.SystemRandom().randrange(10**6))
    print(f"SEED={seed}")
    kills = int(os.environ.get("KILLS") or MANY)
    await kill_again_and_again(kills, f"{seed}/{engine}", engine, tmp_path, callers=4)


@pytest.mark.crash
@pytest.mark.timeout(300)
async def test_two_of_three_that_die_while_they_handle_leave_nothing_undone_and_nothing_twice(tmp_path: Path) -> None:
    target, count = Target(), 30
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(database_url("postgresql", tmp_path))
        address = await stack.enter_async_context(serving_target(target, SECRET))
        processes = [Process(tmp_path, url, address) for _ in range(3)]
        calls = [connect(process.address, token=token("t"), attempts=1) for process in processes]
        connections = [await stack.enter_async_context(call) for call in calls]
        for process in processes:
            await process.start()
            stack.push_async_callback(process.kill)
        await wait_until(lambda: all_serve(connections), 60)
        t = Tenant("t", connections[2], Server(processes[2].address, "postgresql", url, address, target))
        await t.rule("r", on=["a"], actions=[create("n${payload.n}"), append("seen", "payload.n")], **COMMON)
        t.script.gate.clear()
        for n in range(count):
            sent = event(f"{n}", "a", f"s/{n % 6}", {"n": n})
            await connections[n % 3].rules.BatchPublishEvents(pb.BatchPublishEventsRequest(events=[sent]))
        await wait_until(lambda: begun(t, 6), 60)
        for process in processes[:2]:
            await process.kill()
        t.script.gate.set()
        await wait_until(lambda: succeeded(t, count), 60)
        assert [await t.subject(f"s/{s}") for s in range(6)] == [{"seen": [*range(s, count, 6)]} for s in range(6)]
        asked = {seen.key: seen.request.resource_id for seen in t.script.calls}
        assert sorted(asked.values()) == sorted(f"n{n}" for n in range(count))
        for process in processes[:2]:
            await process.start()


async def all_serve(connections: list[Sutler]) -> bool:
    return all([await serves(connection) for connection in connections])


async def begun(t: Tenant, count: int) -> bool:
    return len(t.script.calls) >= count


async def succeeded(t: Tenant, count: int) -> bool:
    return len(await t.executions("state = SUCCEEDED", page_size=1000)) == count


async def kill_again_and_again(kills: int, seed: str, engine: str, folder: Path, *, callers: int) -> None:
    """Kills and stops processes while callers and workers are busy, and checks in the end what has become of it."""
    dice = random.Random(seed)
    target = Counting(random.Random(dice.random()))
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(database_url(engine, folder))
        address = await stack.enter_async_context(serving(target))
        server = NatsServer(folder) if engine == NATS else None
        more = {"engine": "nats", "nats_url": server.url} if server else {}
        processes = [Process(folder, url, address, **more) for _ in range(REPLICAS[engine])]
        victims = [*processes, server] if server else processes
        calls = [connect(process.address, token=token("t"), attempts=1) for process in processes]
        connections = [await stack.enter_async_context(call) for call in calls]

        def replicas() -> Replicas:
            return Replicas(connections, random.Random(dice.random()))

        lives = [Caller(n, random.Random(dice.random()), replicas()) for n in range(callers)]
        newest: dict[str, int] = {}
        workers = [Worker(n, random.Random(dice.random()), replicas(), newest) for n in range(WORKERS)]
        try:
            for victim in victims:
                await victim.start()
            for id, fields in RULES.items():
                request = pb.CreateRuleRequest(rule_id=id, rule=rule(**fields, **COMMON))
                await lives[0].replicas.patiently("CreateRule", request)
            await disturb(kills, dice, victims, lives, workers)
            await check(lives, workers, target)
            if server:
                await check_log(server.url, lives[0].replicas)
        finally:
            for victim in victims:
                await victim.kill()


async def check_log(url: str, replicas: Replicas) -> None:
    """NATS has each event once, and those of a subject in the order in which they were accepted."""
    async with jetstream(url) as js:
        stored = [one.id for one in await everything(replicas, "events")]

        async def whole() -> bool:
            ids = [one["id"] for one in await carried(js, "SUTLER_RULE")]
            return len(ids) == len(set(ids)) and set(ids) == set(stored)

        await wait_until(whole, 60)
        numbers: dict[str, list[int]] = {}
        for one in await carried(js, "SUTLER_RULE"):
            if one["type"] == "order.placed":
                numbers.setdefault(one["subject"], []).append(one["data"]["n"])
        assert all(found == list(range(len(found))) for found in numbers.values())


async def disturb(
    kills: int,
    dice: random.Random,
    processes: Sequence[Process | NatsServer],
    callers: list[Caller],
    workers: list[Worker],
) -> None:
    """Lets callers and workers work, with one disturbance after the other, until the callers have ended their lives."""
    stop, no_more_tasks = asyncio.Event(), asyncio.Event()
    calling = [asyncio.create_task(caller.work(stop)) for caller in callers]
    working = [asyncio.create_task(worker.work(no_more_tasks)) for worker in workers]
    connections = callers[0].replicas.connections
    for _ in range(kills):
        index = dice.randrange(len(processes))
        await wait_until(lambda index=index: serves(connections[index % len(connections)]), 60)
        await asyncio.sleep(dice.uniform(0, 0.6))  # the moment of the kill, not a wait
        for task in (*calling, *working):
            if task.done():
                task.result()
        await one_kill(dice, processes, processes[index])
    stop.set()
    try:
        await asyncio.gather(*calling)
    finally:
        no_more_tasks.set()
        for task in calling:
            task.cancel()
        await asyncio.gather(*calling, *working, return_exceptions=True)


async def one_kill(
    dice: random.Random, processes: Sequence[Process | NatsServer], victim: Process | NatsServer
) -> None:
    """Kills one process, or all, or stops one for longer than its lease."""
    chance = dice.random()
    if chance < 0.3:
        victim.send(signal.SIGSTOP)
        await asyncio.sleep(dice.uniform(1.2, 2.5) * LEASE_SECONDS)  # how long it is stopped, not a wait
        victim.send(signal.SIGCONT)
        return
    victims = processes if chance < 0.4 else [victim]
    for process in victims:
        await process.kill()
    for process in victims:
        await process.start()


async def serves(connection: Any) -> bool:
    try:
        await connection.rules.ListRules(pb.ListRulesRequest(), timeout=2)
    except SutlerError:
        return False
    return True
