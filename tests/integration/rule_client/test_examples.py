"""The examples of RuleService: each once as rules, and once as a worker in Python, with one and the same outcome."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from sutler.cli import documents
from sutler.client import connect, rules
from sutler.errors import Internal
from sutler.rule.v1 import rule_pb2 as pb
from sutler.testing import wait_until

from tests.integration.rule.conftest import Tenant, token
from tests.integration.rule_client.conftest import emit, types

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("how", ["rules", "worker"]),
]

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "services/rule/examples"

Running = Callable[[str], AbstractAsyncContextManager[None]]


@pytest.fixture
def running(t: Tenant, how: str) -> Running:
    """Runs an example by the name of its folder."""

    @asynccontextmanager
    async def run(name: str) -> AsyncIterator[None]:
        if how == "rules":
            for document in documents.read(EXAMPLES / name / "rules.yaml"):
                assert isinstance(document.message, pb.Rule)
                await t.s.rules.UpdateRule(pb.UpdateRuleRequest(rule=document.message, allow_missing=True))
            yield
            return
        program = importlib.import_module(f"services.rule.examples.{name}.worker")
        async with connect(t.server.target_address, token=token(t.name), attempts=1) as target:
            made = program.handlers(target) if hasattr(program, "handlers") else getattr(program, name)
            async with rules.worker(t.s, made):
                yield

    return run


async def orders(t: Tenant) -> None:
    paid, declined, _ = await asyncio.gather(
        emit(t, "order.submitted", {"total": 30}, "order/1"),
        emit(t, "order.submitted", {"total": 3000}, "order/2"),
        emit(t, "order.submitted", {"total": 0}, "order/3"),
    )
    assert [each for each in types(paid) if "property" not in each] == [
        *("order.submitted", "order.validated", "payment.completed", "order.shipped"),
    ]
    assert "payment.declined" in types(declined)
    await emit(t, "order.submitted", {"total": 12}, "order/4")
    states = [(await t.subject(f"order/{n}"))["state"] for n in (1, 2, 4)]
    assert states == ["shipped", "declined", "shipped"]
    assert await t.subject("till") == {"turnover": 42.0}


async def test_orders(t: Tenant, running: Running) -> None:
    async with running("orders"):
        await orders(t)


async def test_orders_as_the_readme_runs_them(t: Tenant, how: str) -> None:
    folder = EXAMPLES / "orders"
    arguments = {
        "rules": [str(Path(sys.executable).parent / "sutler"), "apply", "-f", str(folder / "rules.yaml"), "--yes"],
        "worker": [sys.executable, str(folder / "worker.py")],
    }
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'libs'}:{ROOT}",
        "SUTLER_ADDRESS": t.server.address,
        "SUTLER_TOKEN": token(t.name),
    }
    process = await asyncio.create_subprocess_exec(*arguments[how], env=environment, cwd=ROOT)
    try:

        async def declared() -> bool:
            count = len((await t.s.rules.ListRules(pb.ListRulesRequest())).rules)
            return count == {"rules": 4, "worker": 3}[how]

        await wait_until(declared, 30)
        await orders(t)
    finally:
        if how == "worker":
            process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 30) == 0


async def test_breaker(t: Tenant, running: Running) -> None:
    t.script.broken["GetResource"] = lambda: Internal("the site is on fire")

    async def opened() -> bool:
        found = (await t.s.rules.ListBreakers(pb.ListBreakersRequest())).breakers
        return any(each.state == pb.Breaker.STATE_OPEN for each in found)

    async with running("breaker"):
        events = [await rules.emit(t.s, "server.ordered", subject="hall") for _ in range(2)]
        await wait_until(opened, 30)
        t.script.broken.clear()
        await emit(t, "server.ordered", subject="other-hall")
        await wait_until(lambda: ended(t, events), 30)
    assert await t.subject("hall") == {"servers": 2.0}
    assert await t.letters() == []


async def test_retries(t: Tenant, running: Running) -> None:
    t.script.broken["GetResource"] = lambda: Internal("not today")
    async with running("retries"):
        cascade = await emit(t, "api.requested", {"of": "shop"}, "call/1")
        assert "api.call_failed" in types(cascade)
        assert len(t.script.calls) == 3
        (letter,) = await t.letters()
        assert await t.subject("call/1") == {"state": "failed", "dead_letter": letter.name}
        t.script.broken.clear()
        await t.s.rules.ReplayDeadLetters(pb.ReplayDeadLettersRequest(filter=f'name = "{letter.name}"'))

        async def called() -> bool:
            return "called" in (await t.subject("call/1")).values()

        await wait_until(called, 30)


async def test_devices(t: Tenant, running: Running) -> None:
    told: list[str] = []
    async with running("devices"):
        for temperature in (20, 20, 95, 96, 40):
            cascade = await emit(t, "device.reported", {"temperature": temperature}, "device/1")
            told += [each for each in types(cascade) if each in ("device.alarmed", "device.recovered")]
    assert told == ["device.alarmed", "device.recovered"]
    stored = await t.s.rules.GetSubject(pb.GetSubjectRequest(name="subjects/device/1"))
    assert await t.subject("device/1") == {"temperature": 40.0, "health": "good"}
    assert dict(stored.ext_properties) == {"reports": 5.0}


async def ended(t: Tenant, events: list[str]) -> bool:
    return all([(await t.cascade(event)).complete for event in events])
