"""Two gateways over one store are killed again and again while they poll: no change is lost, and none is told twice."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
import sutler.client
from sutler.erp.v1 import erp_pb2
from sutler.testing import ServiceProcess, postgresql_schema, wait_until
from sutler.wire import duration, from_value

from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import KEY, connect
from tests.integration.erp.feeds import subscribe
from tests.integration.erp.rules import Recorder, recording

SEED = 20261122
FEW, MANY = 2, 100
"""How often a gateway is killed; ``KILLS`` says it for the long one."""

FEED = erp_pb2.FeedPolicy(poll_interval=duration(0.1), window_lag=duration(1), reconcile_interval=duration(0.5))
MODEL = "res.partner"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_no_change_is_lost_or_told_twice(engine: str, tmp_path: Path) -> None:
    await kill_while_polling(FEW, random.Random(SEED), engine, tmp_path)


@pytest.mark.crash
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_no_change_is_lost_or_told_twice_after_many_kills(engine: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
    print(f"SEED={seed}")
    await kill_while_polling(int(os.environ.get("KILLS") or MANY), random.Random(seed), engine, tmp_path)


@dataclass
class Ledger:
    """What was done in the ERP: the last name of each record; None if it was deleted."""

    names: dict[int, str | None] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    async def change(self, erp: SandboxProcess, chance: random.Random) -> None:
        """Creates, changes or deletes a record; every name is new."""
        alive = [one for one, name in self.names.items() if name is not None]
        name, what = f"n{next(self.numbers)}", chance.random()
        if not alive or what < 0.4:
            [made] = await asyncio.to_thread(erp.call, MODEL, "create", [{"name": name}])
            self.names[made] = name
        elif what < 0.85:
            one = chance.choice(alive)
            await asyncio.to_thread(erp.call, MODEL, "write", [one], {"name": name})
            self.names[one] = name
        else:
            one = chance.choice(alive)
            await asyncio.to_thread(erp.call, MODEL, "unlink", [one])
            self.names[one] = None

    def lacking(self, recorder: Recorder) -> list[int]:
        """Returns the records whose last state was not told; one that came and went unseen needs none."""
        told = told_of(recorder)
        return [one for one, name in self.names.items() if not _is_last(told.get(one, []), name)]


def _is_last(events: list[tuple[str, str]], name: str | None) -> bool:
    if name is None:
        return not events or events[-1][0] == "partner.deleted"
    return bool(events) and events[-1][0] != "partner.deleted" and events[-1][1] == name


def told_of(recorder: Recorder) -> dict[int, list[tuple[str, str]]]:
    """Returns types and names of the events of each record, in their order."""
    told: dict[int, list[tuple[str, str]]] = {}
    for event in recorder.order:
        data = from_value(event.data)
        told.setdefault(data["id"], []).append((event.type, data["values"]["name"]))
    return told


async def kill_while_polling(kills: int, chance: random.Random, engine: str, folder: Path) -> None:
    """Kills one of two gateways again and again while the ERP is changed, and checks in the end what was told."""
    recorder, ledger = Recorder(), Ledger()
    with started() as erp, store_of(engine, folder) as data:
        async with recording(recorder) as address, gateways(data, address, folder) as both:
            async with sutler.client.connect(both[0].address) as client:
                await connect(client, erp.url, feed_policy=FEED)
                await subscribe(client, "partners", model=MODEL, fields=["name"], max_event_rate=100_000)
            stop = asyncio.Event()
            changing = asyncio.create_task(keep_changing(ledger, erp, chance, stop))
            for _ in range(kills):
                await asyncio.sleep(chance.uniform(0.0, 1.0))  # the moment of the kill, not a wait
                killed = chance.choice([both[:1], both[1:], both])
                for one in killed:
                    one.kill()
                    one.start()
                for one in killed:
                    await one.serving()
            stop.set()
            await changing
            await wait_until(lambda: not ledger.lacking(recorder), 60)
    assert recorder.reused == []
    for one, events in told_of(recorder).items():
        if one in ledger.names:
            assert [kind for kind, _ in events].count("partner.created") == 1, events
            assert len(events) == len(set(events)), events


async def keep_changing(ledger: Ledger, erp: SandboxProcess, chance: random.Random, stop: asyncio.Event) -> None:
    while not stop.is_set():
        await ledger.change(erp, chance)
        await asyncio.sleep(chance.uniform(0.0, 0.1))


@contextmanager
def store_of(engine: str, folder: Path) -> Iterator[str]:
    if engine == "sqlite":
        yield f"sqlite:///{folder}/erp.db"
        return
    with postgresql_schema() as url:
        yield url


@asynccontextmanager
async def gateways(data: str, rule_address: str, folder: Path) -> AsyncIterator[list[ServiceProcess]]:
    """Two gateways over one store."""
    with ExitStack() as stack:
        both = []
        for name in ("a", "b"):
            (folder / name).mkdir()
            process = ServiceProcess(
                "services.erp",
                "SUTLER_ERP_",
                folder=folder / name,
                data=data,
                rule_address=rule_address,
                secret_keys=KEY,
                lease_seconds=1.0,
                log_level="warning",
            )
            both.append(stack.enter_context(process))
            await process.serving()
        yield both
