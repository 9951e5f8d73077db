"""What everyone in this field gets wrong, as far as no other test shows it; the service's README lists them all."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from sutler.client import Sutler, connect
from sutler.errors import Invalid
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import running

from services.rule.app import app
from tests.integration.rule.conftest import (
    ENGINES,
    SECRET,
    Server,
    Tenant,
    create,
    database_url,
    emit,
    event,
    eventually,
    settings_for,
    token,
)
from tests.integration.rule.target import Target, serving

ROOT = Path(__file__).resolve().parents[3]
KEYS = """
from google.protobuf import json_format
from sutler.rule.v1 import rule_pb2 as pb
from services.rule.events import event_name
from services.rule.wire.events import content_from
data = {key: {"b": 1, "a": [key]} for key in "zyxwvu"}
extensions = {key: key for key in "zyxwvu"}
values = {"id": "1", "source": "/s", "type": "a", "data": data, "extensions": extensions, "extra": data}
print(event_name("t", "/s", "1"), content_from(json_format.ParseDict(values, pb.Event())).digest.hex())
"""


def test_pitfall_hash_stability() -> None:
    """Names of events, and what tells a repeat from another event, are the same in every process."""
    told = {
        subprocess.run(
            [sys.executable, "-c", KEYS],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}/libs:{ROOT}"},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "4711")
    }
    assert len(told) == 1
    assert len(told.pop().split()) == 2


@asynccontextmanager
async def service(url: str, target: str = "", **settings: object) -> AsyncIterator[Tenant]:
    async with (
        running(app, settings_for(url, target, **settings), "rule") as up,
        connect(up.address, token=token("t")) as s,
    ):
        yield Tenant("t", s, Server(up.address, "", url, target, Target()))


def increment(request_id: str = "", by: int = 1) -> pb.UpdateSubjectRequest:
    writes = [pb.PropertyWrite(property="n", increment=by)]
    subject = pb.Subject(name="subjects/s")
    return pb.UpdateSubjectRequest(subject=subject, writes=writes, allow_missing=True, request_id=request_id)


@pytest.mark.parametrize("engine", ENGINES)
async def test_pitfall_lost_updates_and_idempotency(engine: str, tmp_path: Path) -> None:
    """Two services over one database: 2 x 20 increments are 40; what both are asked for at once is done once."""
    shared = [str(uuid.uuid4()) for _ in range(5)]
    async with database_url(engine, tmp_path) as url:
        async with service(url) as one, service(url) as two:
            await one.rule("r", on=["a"], actions=[emit("b")])
            both = (one.s.rules, two.s.rules)
            await asyncio.gather(*(rules.UpdateSubject(increment()) for rules in both for _ in range(20)))
            assert await two.subject("s") == {"n": 40.0}
            made = [await asyncio.gather(*(rules.UpdateSubject(increment(id)) for rules in both)) for id in shared]
            assert all(mine == others for mine, others in made)
            assert await one.subject("s") == {"n": 45.0}
            sent = [event("same", "a", "s", {"n": 1}) for _ in range(2)]
            told = await asyncio.gather(one.publish(sent[0]), two.publish(sent[1]))
            assert sorted(result.duplicate for (result,) in told) == [False, True]
        async with service(url) as after:
            assert [await after.s.rules.UpdateSubject(increment(id)) for id in shared] == [mine for mine, _ in made]
            with pytest.raises(Invalid) as caught:
                await after.s.rules.UpdateSubject(increment(shared[0], by=2))
            assert caught.value.reason == "REQUEST_ID_REUSED"
            assert await after.subject("s") == {"n": 45.0}
            ((again,), kept) = (
                await after.publish(event("same", "a", "s", {"n": 1})),
                await after.events('type = "b"'),
            )
            assert (again.duplicate, len(kept)) == (True, 1)


async def test_pitfall_caching_and_registries(tmp_path: Path) -> None:
    """Rules are kept compiled; a change counts for the very next event, at another service too."""
    url = f"sqlite:///{tmp_path}/rule.db"
    async with service(url) as one, service(url) as two:
        await one.rule("r", on=["a"], actions=[emit("first")])
        for n, kind in enumerate(("first", "second", "third")):
            if n:
                changed = pb.Rule(name="rules/r", actions=[pb.Action(emit_event={"event": {"type": kind}})])
                await one.s.rules.UpdateRule(pb.UpdateRuleRequest(rule=changed))
            await asyncio.gather(*(two.publish(event(type="a")) for _ in range(5)))
            assert len(await two.events(f'type = "{kind}"')) == 5
        await one.s.rules.UpdateRule(pb.UpdateRuleRequest(rule=pb.Rule(name="rules/r", enabled=False)))
        (result,) = await two.publish(event(type="a"))
        assert not (await two.cascade(result.event)).executions


async def test_pitfall_order_and_fan_out(tmp_path: Path) -> None:
    """Executions of different subjects run at the same time, and no more of them than the bound."""
    target = Target()
    async with (
        serving(target, SECRET) as address,
        service(f"sqlite:///{tmp_path}/rule.db", address, concurrency=3) as t,
    ):
        script = target.scripts["t"]
        script.gate.clear()
        await t.rule("r", on=["a"], actions=[create("n${payload.n}")])
        results = await t.publish(*(event(f"{n}", "a", f"s/{n}", {"n": n}) for n in range(9)), wait=False)
        kept = [await t.s.rules.GetEvent(pb.GetEventRequest(name=result.event)) for result in results]
        assert [each.id for each in kept] == [f"{n}" for n in range(9)]
        await eventually(lambda: count(script.calls, 3))
        await asyncio.gather(*(t.publish(event(f"x{n}", "a", f"x/{n}", {"n": 10 + n}), wait=False) for n in range(5)))
        assert len(await t.executions("state = RUNNING")) >= 3
        assert len(script.calls) == 3
        script.gate.set()
        await eventually(lambda: count(script.calls, 14))


async def count(found: list[object], least: int) -> bool:
    return len(found) >= least


SIZES = (500, 20_000)
OLD = {"seq": "-i", "name": "name || i", "root_event": "root_event || i"}
COPIES = {
    "events": ("end_time IS NOT NULL", {**OLD, "id": "id || i", "end_change": "-i", "cascade_change": "-i"}),
    "executions": ("ended = 1", {**OLD, "change": "-i"}),
    "subjects": ("1", {"id": "id || i", "name": "name || i", "uid": "uid || i"}),
    "dead_letters": ("1", {**OLD, "execution": "execution || i"}),
    "tasks": ("1", {**OLD, "uid": "uid || i", "state": "3", "execution_seq": "-i"}),
    "requests": ("1", {"request_id": "request_id || i"}),
}
"""The tables that grow with use: of which row to make copies, and what differs between them."""


@pytest.mark.timeout(180)
async def test_pitfall_complexity(tmp_path: Path) -> None:
    """Calls beside 20,000 stored things of each kind take the CPU that they take beside 500."""
    async with AsyncExitStack() as stack:
        costs = list[dict[str, Callable[[], Awaitable[object]]]]()
        for size in SIZES:
            data = f"{tmp_path}/{size}.db"
            t = await stack.enter_async_context(service(f"sqlite:///{data}"))
            first = await stored(t)
            fill(data, size)
            costs.append(calls_of(t.s, first))
        compared = {name: await taken(costs[0][name], costs[1][name]) for name in costs[0]}
    slower = {name: cost for name, cost in compared.items() if cost[1] > 2 * cost[0]}
    assert not slower, compared


async def stored(t: Tenant) -> str:
    """Stores one of everything, and returns the name of an event."""
    await t.rule("r", on=["a"], actions=[{"setProperty": {"property": "n", "value": 1}}, emit("b")])
    await t.rule("bad", on=["c"], when=["payload.missing"], actions=[emit("b")])
    await t.rule("work", on=["d"], actions=[{"worker": {"queue": "q", "handler": "h"}}])
    (first, _) = await t.publish(event(type="a", subject="s/1"), event(type="c"))
    await t.publish(event(type="d"), wait=False)
    await t.s.rules.UpdateSubject(increment(str(uuid.uuid4())))
    return first.event


def fill(data: str, size: int) -> None:
    """Adds copies of stored rows."""
    with sqlite3.connect(data, timeout=30) as store:
        for table, (which, changed) in COPIES.items():
            columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
            values = ", ".join(changed.get(column, column) for column in columns)
            store.execute(
                f"INSERT INTO {table} WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {size}) "
                f"SELECT {values} FROM (SELECT * FROM {table} WHERE {which} LIMIT 1), n"
            )
            assert store.execute(f"SELECT count(*) FROM {table}").fetchone()[0] > size


def calls_of(s: Sutler, name: str) -> dict[str, Callable[[], Awaitable[object]]]:
    """Returns calls by what they do."""
    rules = s.rules

    def published() -> Awaitable[object]:
        return rules.BatchPublishEvents(
            pb.BatchPublishEventsRequest(events=[event(type="a", subject="s/1")], wait=True)
        )

    return {
        "publish": published,
        "get": lambda: rules.GetEvent(pb.GetEventRequest(name=name)),
        "events": lambda: rules.ListEvents(pb.ListEventsRequest(page_size=5)),
        "cascade": lambda: rules.GetCascade(pb.GetCascadeRequest(name=f"{name}/cascade")),
        "executions": lambda: rules.ListExecutions(pb.ListExecutionsRequest(page_size=5)),
        "update": lambda: rules.UpdateSubject(increment(str(uuid.uuid4()))),
        "subjects": lambda: rules.ListSubjects(pb.ListSubjectsRequest(page_size=5)),
        "letters": lambda: rules.ListDeadLetters(pb.ListDeadLettersRequest(page_size=5)),
        "pull": lambda: rules.PullTasks(pb.PullTasksRequest(parent="queues/q", worker_id="w", wait_timeout={})),
        "tasks": lambda: rules.ListTasks(pb.ListTasksRequest(parent="queues/q", page_size=5)),
    }


async def taken(one: Callable[[], Awaitable[object]], other: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Returns the CPU that two calls take, in the middle of twenty each that take turns."""
    times: tuple[list[float], list[float]] = [], []
    for _ in range(20):
        for make, mine in zip((one, other), times, strict=True):
            began = time.process_time()
            await make()
            mine.append(time.process_time() - began)
    return statistics.median(times[0]), statistics.median(times[1])
