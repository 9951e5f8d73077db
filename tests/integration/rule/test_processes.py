"""Several processes, processes that die, and servers with settings of their own."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sutler.client import Sutler, connect
from sutler.errors import Exhausted, FailedPrecondition, Unavailable
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import running

from services.rule.app import app
from tests.integration.rule.conftest import (
    ENGINES,
    RESOURCES,
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
from tests.integration.rule.target import Script, Target, serving
from tests.integration.rule.web import serving_web

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def target() -> AsyncIterator[tuple[Script, str]]:
    """A target, with the script of tenant t."""
    served = Target()
    async with serving(served, SECRET) as address:
        yield served.scripts["t"], address


@asynccontextmanager
async def connected(address: str) -> AsyncIterator[Tenant]:
    async with connect(address, token=token("t")) as s:
        yield Tenant("t", s, Server(address, "", "", "", Target()))


class Process:
    """RuleService as a process of its own."""

    def __init__(self, url: str, port: int, target: str, **more: str) -> None:
        self._environment = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}",
            "SUTLER_RULE_DATA": url,
            "SUTLER_RULE_PORT": str(port),
            "SUTLER_RULE_AUTH_SECRET": SECRET,
            "SUTLER_RULE_TARGETS": f'{{"{RESOURCES}": "{target}"}}',
            "SUTLER_RULE_LOG_LEVEL": "error",
            "SUTLER_RULE_LEASE_SECONDS": "300",
            "SUTLER_RULE_DRAIN_PAUSE_SECONDS": "0",
            **more,
        }
        self.address = f"127.0.0.1:{port}"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.rule", cwd=ROOT, env=self._environment
        )
        async with connect(self.address, token=token("t"), attempts=1) as s:
            await eventually(lambda: self._answers(s))

    async def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()

    @property
    def ended(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    async def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return await self._process.wait()

    async def _answers(self, s: Sutler) -> bool:
        assert self._process is not None
        assert self._process.returncode is None
        try:
            await s.rules.ListRules(pb.ListRulesRequest())
        except Unavailable:
            return False
        return True


async def ended(t: Tenant, count: int) -> list[pb.Execution]:
    """Returns the executions when all of them have succeeded."""

    async def check() -> list[pb.Execution]:
        found = await t.executions(page_size=1000)
        done = [x for x in found if x.state == pb.Execution.STATE_SUCCEEDED]
        return done if len(done) == len(found) == count else []

    found: list[pb.Execution] = await eventually(check)
    return found


async def test_a_killed_process_loses_nothing_and_repeats_no_answered_call(tmp_path: Path, free_port: int) -> None:
    async with target() as (script, address):
        process = Process(f"sqlite:///{tmp_path}/rule.db", free_port, address)
        await process.start()
        async with connected(process.address) as t:
            actions = [create("one-${payload.n}"), create("two-${payload.n}"), emit("done", data="${payload.n}")]
            await t.rule("r", on=["a"], actions=actions)
            script.held = {f"two-{n}" for n in range(6)}
            await t.publish(*(event(type="a", subject=f"s/{n}", data={"n": n}) for n in range(6)), wait=False)
            await eventually(lambda: _done(len(script.ids) == 12))
            await process.kill()
            script.held = set()
            # Although the lease of the dead process lasts for minutes, its work goes on at once.
            await process.start()
            await ended(t, 6)
            done = await t.events('type = "done"')
        assert sorted(e.data.number_value for e in done) == list(range(6))
        count = Counter(script.ids)
        assert {count[f"one-{n}"] for n in range(6)} == {1}
        assert {count[f"two-{n}"] for n in range(6)} == {2}
        assert len({seen.key for seen in script.calls}) == 12
        assert await process.stop() == 0


async def test_a_request_whose_answer_was_lost_with_the_process_is_repeated_under_its_key(
    tmp_path: Path, free_port: int
) -> None:
    async with serving_web() as served:
        reach = {"URLS": f'["{served.origin}"]', "NETWORKS": '["127.0.0.0/8"]'}
        allowed = {f"SUTLER_RULE_ALLOWED_{name}": value for name, value in reach.items()}
        process = Process(f"sqlite:///{tmp_path}/rule.db", free_port, "127.0.0.1:1", **allowed)
        pages = served.pages["t"]

        async def answer_and_kill(_: web.Request) -> web.Response:
            await process.kill()
            return web.json_response({"number": 1})

        pages.answers = [answer_and_kill, web.json_response({"number": 2})]
        await process.start()
        async with connected(process.address) as t:
            call = {"id": "order", "httpRequest": {"uri": f"{served.origin}/t/orders", "json": {"n": 1}}}
            count = {
                "setProperty": {"property": "n", "expression": "(old == null ? 0 : old) + results.order.body.number"}
            }
            await t.rule("r", on=["a"], actions=[call, count, emit("done", data="${results.order.body.number}")])
            await t.publish(event(type="a", subject="s", data={}), wait=False)
            await eventually(lambda: _done(len(pages.sent) == 1))
            await eventually(lambda: _done(process.ended))
            await process.start()
            await ended(t, 1)
            (done,) = await t.events('type = "done"')
            subject = await t.s.rules.GetSubject(pb.GetSubjectRequest(name="subjects/s"))
        assert (done.data.number_value, subject.properties["n"]) == (2, 2)
        assert len({sent.headers["idempotency-key"] for sent in pages.sent}) == 1
        assert len(pages.sent) == 2
        assert await process.stop() == 0


async def test_what_was_answered_survives_a_kill_at_any_moment(tmp_path: Path, free_port: int) -> None:
    process = Process(f"sqlite:///{tmp_path}/rule.db", free_port, "127.0.0.1:1")
    await process.start()
    accepted: list[str] = []
    async with connected(process.address) as t:
        count = {"setProperty": {"property": "n", "expression": "old == null ? 1 : old + 1"}}
        await t.rule("r", on=["a"], actions=[count])

        async def publish_until_it_dies() -> None:
            number = 0
            while True:
                number += 1
                sent = pb.BatchPublishEventsRequest(events=[event(f"{id(process)}-{number}", "a", "s")])
                try:
                    answer = await t.s.rules.BatchPublishEvents(sent, timeout=2)
                except (Unavailable, Exhausted):
                    return
                accepted.append(answer.results[0].event)

        for _ in range(2):
            before = len(accepted)
            publishing = asyncio.create_task(publish_until_it_dies())
            await eventually(lambda before=before: _done(len(accepted) >= before + 15))  # type: ignore[misc]
            await process.kill()
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            await process.start()
        total = len(await t.events('type = "a"'))
        await ended(t, total)
        assert total >= len(set(accepted))
        assert {e.name for e in await t.events('type = "a"')} >= set(accepted)
        assert await t.subject("s") == {"n": float(total)}
    await process.stop()


@pytest.mark.parametrize("engine", ENGINES)
async def test_two_processes_do_each_execution_once_and_in_order(engine: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        script, address = await stack.enter_async_context(target())
        url = await stack.enter_async_context(database_url(engine, tmp_path))
        settings = settings_for(url, address, lease_seconds=30)
        servers = [await stack.enter_async_context(running(app, settings, "rule")) for _ in range(2)]
        one, two = [await stack.enter_async_context(connected(server.address)) for server in servers]
        await one.rule("r", on=["a"], actions=[create("${payload.name}")])
        batches = [[event(type="a", subject=f"s/{s}", data={"name": f"s{s}n{n}"}) for s in range(5)] for n in range(8)]
        for number, batch in enumerate(batches):
            await (one, two)[number % 2].publish(*batch, wait=False)
        await ended(one, 40)
        assert Counter(script.ids) == Counter({f"s{s}n{n}": 1 for s in range(5) for n in range(8)})
        for subject in range(5):
            mine = [i for i in script.ids if i.startswith(f"s{subject}n")]
            assert mine == [f"s{subject}n{n}" for n in range(8)]


async def test_a_stopped_process_hands_its_work_over(tmp_path: Path) -> None:
    async with target() as (script, address):
        url = f"sqlite:///{tmp_path}/rule.db"
        settings = settings_for(url, address, lease_seconds=300)
        async with AsyncExitStack() as first, running(app, settings, "rule") as other, connected(other.address) as t:
            server = await first.enter_async_context(running(app, settings, "rule"))
            script.gate.clear()
            async with connected(server.address) as mine:
                await mine.rule("r", on=["a"], actions=[create("x${payload.n}")])
                await mine.publish(*(event(type="a", data={"n": n}) for n in range(5)), wait=False)
            await eventually(lambda: _done(len(script.calls) == 5))
            await first.aclose()
            script.gate.set()
            await ended(t, 5)
        assert len({seen.key for seen in script.calls}) == 5


async def test_too_much_work_is_refused_before_it_is_accepted(tmp_path: Path) -> None:
    async with target() as (script, address):
        script.gate.clear()
        settings = settings_for(f"sqlite:///{tmp_path}/rule.db", address, max_waiting=5)
        async with running(app, settings, "rule") as server, connected(server.address) as t:
            await t.rule("r", on=["a"], actions=[create("x")])
            await t.publish(*(event(type="a") for _ in range(5)), wait=False)
            with pytest.raises(Exhausted) as caught:
                await t.publish(event(type="a"), wait=False)
            assert caught.value.reason == "OVERLOADED"
            assert caught.value.retry_after is not None
            assert len(await t.events()) == 5

            async def requests() -> AsyncIterator[pb.PublishEventStreamRequest]:
                yield pb.PublishEventStreamRequest(events=[event(type="b")])

            streaming = asyncio.create_task(_first(t.s.rules.PublishEventStream(requests())))
            script.gate.set()
            assert (await streaming).results[0].event  # a stream waits for room


async def test_old_things_go(tmp_path: Path) -> None:
    ages = {"keep_events_days": 1e-6, "keep_executions_days": 1e-6, "keep_revisions_days": 1e-6, "sweep_seconds": 0.1}
    settings = settings_for(f"sqlite:///{tmp_path}/rule.db", "", **ages)
    async with running(app, settings, "rule") as server, connected(server.address) as t:
        await t.rule("r", on=["a"], actions=[emit("b")])
        await t.rule("late", on=["a"], actions=[{"delay": {"duration": "600s"}}])
        for priority in (1, 2):
            changed = pb.Rule(name="rules/r", priority=priority)
            await t.s.rules.UpdateRule(pb.UpdateRuleRequest(rule=changed))
        await t.publish(*(event(type="b") for _ in range(20)), event("open", "a"), wait=False)

        async def swept() -> bool:
            revisions = await t.s.rules.ListRuleRevisions(pb.ListRuleRevisionsRequest(parent="rules/r"))
            left = [e for e in await t.events() if e.root_event != kept]
            old = [x for x in await t.executions() if x.HasField("end_time")]
            return len(revisions.rule_revisions) == 1 and not left and not old

        kept = (await t.events('id = "open"'))[0].name
        await eventually(swept)
        # What belongs to a cascade that goes on stays, although its parts have ended.
        assert [e.type for e in sorted(await t.events(), key=lambda e: e.depth)] == ["a", "b"]


async def test_a_stopping_server_ends_streams_at_once(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/rule.db", drain_seconds=30)
    answers: list[pb.PublishEventStreamResponse] = []
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(app, settings, "rule"))
        async with connect(server.address, token=token("t"), attempts=1) as s:

            async def requests() -> AsyncIterator[pb.PublishEventStreamRequest]:
                yield pb.PublishEventStreamRequest(events=[event()], sequence=1)
                await asyncio.Event().wait()

            async def read() -> None:
                async for answer in s.rules.PublishEventStream(requests()):
                    answers.append(answer)

            reading = asyncio.create_task(read())
            await eventually(lambda: _done(len(answers) == 1))
            async with asyncio.timeout(10):
                await stack.aclose()
                with pytest.raises(Unavailable) as caught:
                    await reading
    assert caught.value.reason == "SHUTTING_DOWN"
    assert answers[-1].status.code == 14


async def test_what_a_broken_stream_has_sent_is_done_all_the_same(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/rule.db")
    async with running(app, settings, "rule") as server, connected(server.address) as t:
        await t.rule("r", on=["a"], actions=[emit("done")])
        for number in range(20):

            async def requests(number: int = number) -> AsyncIterator[pb.PublishEventStreamRequest]:
                yield pb.PublishEventStreamRequest(events=[event(f"{number}-{n}", "a", "s") for n in range(5)])
                await asyncio.Event().wait()

            reading = asyncio.create_task(_first(t.s.rules.PublishEventStream(requests())))
            await asyncio.sleep(0.001 * number)  # breaks it at another moment each time
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        await t.publish(event("last", "a", "s"))

        async def all_done() -> bool:
            found = await t.executions(page_size=1000)
            done = [x for x in found if x.state == pb.Execution.STATE_SUCCEEDED]
            return len(done) == len(found) == len(await t.events('type = "a"'))

        await eventually(all_done)
        assert len(await t.events('type = "a"')) % 5 == 1


async def test_without_authentication_rules_call_as_nobody(tmp_path: Path) -> None:
    served = Target()
    async with serving(served, "") as address:
        settings = settings_for(f"sqlite:///{tmp_path}/rule.db", address, auth_secret="")
        async with running(app, settings, "rule") as server, connect(server.address) as s:
            t = Tenant("default", s, Server(server.address, "", "", "", served))
            await t.rule("r", on=["a"], actions=[create("x")])
            await t.publish(event(type="a"))
            assert [seen.actor for seen in t.script.calls] == ["anonymous"]


async def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path}/rule.db")
    async with running(app, settings, "rule"):
        pass
    with sqlite3.connect(tmp_path / "rule.db") as raw:
        raw.execute("UPDATE schema_versions SET version = 99 WHERE component = 'rule'")
    raw.close()
    with pytest.raises(FailedPrecondition):
        async with running(app, settings, "rule"):
            pass


async def _done(value: Any) -> Any:
    return value


async def _first(answers: Any) -> Any:
    return await anext(aiter(answers))
