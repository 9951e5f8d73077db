"""The clock of the machine is put back and forward while the service works."""

import functools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sutler.client import connect
from sutler.errors import Unavailable
from sutler.rule.v1 import rule_pb2 as pb
from sutler.server import running

from services.rule import app as composition
from tests.integration.rule.conftest import (
    SECRET,
    Server,
    Tenant,
    create,
    emit,
    event,
    eventually,
    settings_for,
    token,
)
from tests.integration.rule.target import Target, serving

HOUR = 3600.0


class Clock:
    """The clock of a machine, which somebody sets."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@asynccontextmanager
async def serving_by(clock: Clock, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Tenant]:
    """A service that goes by a clock, with a target."""
    monkeypatch.setattr(composition, "open_database", functools.partial(composition.open_database, clock=clock))
    target = Target()
    async with (
        serving(target, SECRET) as address,
        running(composition.app, settings_for(f"sqlite:///{folder}/rule.db", address), "rule") as up,
        connect(up.address, token=token("t")) as s,
    ):
        yield Tenant("t", s, Server(up.address, "sqlite", "", address, target))


@pytest.mark.parametrize("step", [-HOUR, HOUR], ids=["back", "forward"])
async def test_a_step_of_the_clock_holds_nothing_up_and_does_nothing_twice(
    step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with serving_by(clock, tmp_path, monkeypatch) as t:
        soon = {"initialBackoff": "0.2s", "maxBackoff": "0.2s"}
        await t.rule(
            "call", on=["a"], actions=[create("n${payload.n}"), emit("called", data="${payload.n}")], retry=soon
        )
        await t.rule("late", on=["a"], actions=[{"delay": {"duration": "0.5s"}}, emit("late", data="${payload.n}")])
        t.script.errors = [Unavailable("away"), Unavailable("away")]
        t.script.gate.clear()
        await t.publish(*(event(type="a", subject=f"s/{n % 2}", data={"n": n}) for n in range(4)), wait=False)
        await eventually(lambda: t.executions("state = WAITING"))
        clock.ahead += step
        await t.publish(*(event(type="a", subject=f"s/{n % 2}", data={"n": n}) for n in range(4, 8)), wait=False)
        t.script.gate.set()

        async def done() -> bool:
            found = await t.executions(page_size=100)
            return len(found) == 16 and all(each.state == pb.Execution.STATE_SUCCEEDED for each in found)

        await eventually(done)
        for each in await t.executions(page_size=100):
            times = [each.create_time, each.start_time, each.end_time]
            assert times == sorted(times, key=lambda time: time.ToNanoseconds()), "one clock tells all times"
        for kind in ("called", "late"):
            told = await t.events(f'type = "{kind}"')
            assert sorted(each.data.number_value for each in told) == list(range(8))
            for subject in range(2):
                mine = [each.data.number_value for each in told if each.subject == f"s/{subject}"]
                assert mine == sorted(mine)
        asked = {seen.key: seen.request for seen in t.script.calls}
        assert len(asked) == 8
        assert all(asked[seen.key] == seen.request for seen in t.script.calls)
