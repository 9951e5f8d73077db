"""Tasks for workers where processes die, stop, and work beside each other."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from sutler.client import connect
from sutler.errors import Unavailable
from sutler.server import running

from services.rule.app import app
from tests.integration.rule.conftest import ENGINES, Server, Tenant, database_url, event, settings_for, token
from tests.integration.rule.target import Target
from tests.integration.rule.test_processes import Process, connected
from tests.integration.rule.test_tasks import complete, pull, pull_one, tasks, worker


async def test_tasks_and_leases_survive_a_kill(tmp_path: Path, free_port: int) -> None:
    process = Process(f"sqlite:///{tmp_path}/rule.db", free_port, "127.0.0.1:1")
    await process.start()
    async with connected(process.address) as t:
        await t.rule("r", on=["a"], actions=[worker()], retry={"initialBackoff": "0.001s"})
        await t.publish(*(event(type="a", subject=f"s/{n}") for n in range(3)), wait=False)
        held, dying = await pull_one(t), await pull_one(t, leaseDuration="1s")
        completed = {"updates": [{"subject": "subjects/n", "writes": [{"property": "n", "increment": 1}]}]}
        first = await complete(t, held, **completed)
        await process.kill()
        await process.start()
        assert await complete(t, held, **completed) == first
        assert await t.subject("n") == {"n": 1.0}
        left = {(await pull_one(t)).name for _ in range(2)}
        assert left == {task.name for task in await tasks(t)} - {held.name}
        assert dying.name in left
    assert await process.stop() == 0


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_poll_at_one_replica_wakes_for_a_task_of_another(engine: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(database_url(engine, tmp_path))
        one = await stack.enter_async_context(running(app, settings_for(url), "rule"))
        other = await stack.enter_async_context(running(app, settings_for(url), "rule"))
        at_one = await stack.enter_async_context(connected(one.address))
        at_other = await stack.enter_async_context(connected(other.address))
        await at_one.rule("r", on=["a"], actions=[worker()])
        late = []
        for n in range(5):
            waiting = asyncio.create_task(pull_one(at_one))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            began = time.monotonic()
            await at_other.publish(event(type="a", subject=f"s/{n}"), wait=False)
            task = await waiting
            late.append(time.monotonic() - began)
            await complete(at_other, task)
        assert sorted(late)[2] < 1.0, late


async def test_a_stopping_server_ends_polls_at_once(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/rule.db", drain_seconds=30)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(app, settings, "rule"))
        async with connect(server.address, token=token("t"), attempts=1) as s:
            t = Tenant("t", s, Server(server.address, "", "", "", Target()))
            polling = asyncio.create_task(pull(t, wait=60))
            await asyncio.sleep(0.3)
            async with asyncio.timeout(10):
                await stack.aclose()
                with pytest.raises(Unavailable) as caught:
                    await polling
    assert caught.value.reason == "SHUTTING_DOWN"


async def test_no_more_tasks_of_a_queue_are_held_than_the_bound(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/rule.db", max_leased=2)
    async with running(app, settings, "rule") as server, connected(server.address) as t:
        await t.rule("r", on=["a"], actions=[worker()])
        await t.rule("s", on=["a"], actions=[worker(queue="q2")])
        await t.publish(*(event(type="a") for _ in range(3)), wait=False)
        held = await pull(t, maxTasks=1)
        held += await pull(t, maxTasks=1)
        assert await pull(t, wait=0, maxTasks=10) == []
        assert len(await pull(t, maxTasks=1, parent="queues/q2")) == 1
        waiting = asyncio.create_task(pull_one(t))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await complete(t, held[0])
        assert (await waiting).name not in {task.name for task in held}
