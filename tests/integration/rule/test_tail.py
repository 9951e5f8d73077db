"""``sutler rule tail`` as a process of its own, against a real service."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sutler.client import connect
from sutler.testing import wait_until

from tests.integration.rule.conftest import Server, Tenant, emit, event, token
from tests.integration.rule.killing import Process
from tests.integration.rule.target import Target
from tests.integration.rule.test_crash import serves

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAIN = "from sutler.cli import main; main()"
ROOT = Path(__file__).parents[3]
SECONDS = 30


class Tail:
    """What a tail has printed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """The next line."""
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), SECONDS)).decode().rstrip("\n")

    async def lines(self, last: str) -> list[str]:
        """The next lines, up to one that has some text."""
        found = [await self.line()]
        while last not in found[-1]:
            found.append(await self.line())
            assert found[-1], found
        return found

    async def told(self, text: str) -> None:
        """Waits for a line beside the output."""
        assert self._process.stderr is not None
        while text not in (line := await asyncio.wait_for(self._process.stderr.readline(), SECONDS)).decode():
            assert line, text

    async def stop(self) -> tuple[int, str]:
        """Presses Ctrl-C; returns the exit code, and what is told after that."""
        self._process.send_signal(signal.SIGINT)
        return await self.ended()

    async def ended(self) -> tuple[int, str]:
        """Waits for its end; returns the exit code, and what is told after what was read."""
        _, err = await asyncio.wait_for(self._process.communicate(), SECONDS)
        return self._process.returncode or 0, err.decode()


@asynccontextmanager
async def tailing(address: str, bearer: str, *words: str) -> AsyncIterator[Tail]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SUTLER_")}
    path = os.pathsep.join((str(ROOT / "libs"), str(ROOT)))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MAIN, "rule", "tail", *words),
        env={**clean, "SUTLER_ADDRESS": address, "SUTLER_TOKEN": bearer, "PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    tail = Tail(process)
    try:
        await tail.told("following events")
        yield tail
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def begun(tail: Tail, publish: Callable[[], Awaitable[Any]], text: str) -> None:
    """Publishes until it shows: a tail begins when the service has heard of it, which nobody is told."""
    reading = asyncio.ensure_future(tail.lines(text))
    while not reading.done():
        await publish()
        await asyncio.wait([reading], timeout=0.2)
    await reading


async def test_a_tail_shows_data_executions_outcomes_and_reasons(t: Tenant) -> None:
    write = {"setProperty": {"property": "orders", "expression": "old == null ? 1 : old + 1"}}
    await t.rule("count", on=["order.*"], actions=[write, emit("counted")])
    await t.rule("large", on=["order.*"], when=["payload.total > 100"], actions=[emit("large")])
    await t.rule("broken", on=["order.*"], when=["payload.missing == 1"], actions=[emit("never")])
    bearer = token(t.name, "rule.events.watch")
    async with (
        tailing(t.server.address, bearer, "-t", "order.*", "-t", "mark", "-s", "c/*") as people,
        tailing(t.server.address, bearer, "-r", "large", "-r", "rules/none", "-o", "json") as programs,
    ):
        marks = iter(range(10**6))
        await begun(people, lambda: t.publish(event(type="mark", subject="c/0"), wait=False), "cascade ended  mark")
        await begun(
            programs,
            lambda: t.publish(event(type="order.mark", data={"total": 0, "n": next(marks)}), wait=False),
            "KIND_CASCADE_ENDED",
        )
        await t.publish(event(type="order.other", subject="d/1", data={"total": 1}))
        (one,) = await t.publish(event("one", "order.confirmed", "c/7", {"total": 5}, extra={"by": "anna"}))
        lines = await people.lines(f"cascade ended  order.confirmed  c/7  {one.event}")
        changes: list[dict[str, Any]] = []
        while not (changes and changes[-1]["event"]["name"] == one.event and "CASCADE" in changes[-1]["kind"]):
            changes.append(json.loads(await programs.line()))
        assert await people.stop() == (0, "")
        assert await programs.stop() == (0, "")
    mine = [line for line in lines if one.event in line]
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d\d\d  ", line) for line in mine)
    assert not [line for line in lines if "order.other" in line]
    assert "order.confirmed  c/7" in mine[0] and '{"total": 5}' in mine[0] and 'extra {"by": "anna"}' in mine[0]

    def of(rule: str) -> str:
        return next(line for line in reversed(mine) if f"rules/{rule} " in line)

    assert "succeeded" in of("count") and "set_property (orders: null -> 1)" in of("count")
    assert re.search(r"emit_event \(events/\S+\)", of("count"))
    assert "skipped" in of("large") and 'when payload.total > 100 is false with {"payload.total": 5}' in of("large")
    assert "failed" in of("broken") and "[EXPRESSION_FAILED]" in of("broken") and "deadLetters/" in of("broken")
    assert re.search(r"cascade ended  order\.confirmed .* FAILED  \d+ ms$", mine[-1])
    assert {change["execution"]["rule"] for change in changes if "execution" in change} == {"rules/large"}
    own = [change for change in changes if change["event"]["name"] == one.event]
    assert own[0]["kind"] == "KIND_ACCEPTED"
    assert own[0]["event"]["data"] == {"total": 5}


async def test_a_tail_goes_on_where_it_was_when_the_service_is_killed(tmp_path: Path) -> None:
    process = Process(tmp_path, f"sqlite:///{tmp_path}/rule.db", "127.0.0.1:1")
    await process.start()
    try:
        async with connect(process.address, token=token("t"), attempts=1) as s:
            await wait_until(lambda: serves(s), 60)
            t = Tenant("t", s, Server(process.address, "", "", "", Target()))
            async with tailing(process.address, token("t"), "-t", "a", "-t", "mark") as tail:
                await begun(tail, lambda: t.publish(event(type="mark"), wait=False), "cascade ended")
                await t.publish(*(event(type="a", data=f"before-{n}") for n in range(3)), wait=False)
                before = await tail.lines('"before-2"')
                await process.kill()
                await tail.told("trying again")
                await process.start()
                await wait_until(lambda: serves(s), 60)
                await t.publish(*(event(type="a", data=f"after-{n}") for n in range(3)), wait=False)
                after = await tail.lines('"after-2"')
                assert (await tail.stop())[0] == 0
    finally:
        await process.kill()
    accepted = [line.rpartition("  ")[2] for line in (*before, *after) if "accepted" in line and "  a  " in line]
    assert accepted == [f'"{when}-{n}"' for when in ("before", "after") for n in range(3)]


async def test_what_a_tail_may_not_or_cannot_is_told(t: Tenant) -> None:
    async def refused(bearer: str, *words: str) -> str:
        async with tailing(t.server.address, bearer, *words) as tail:
            code, err = await tail.ended()
            assert code == 1
            return err

    assert "PERMISSION_MISSING" in await refused(token(t.name, "rule.events.get"))
    assert "FILTER_INVALID" in await refused(token(t.name), "--filter", "colour = 1")
