"""The gateway is killed while transactions run: each is finished, undone or unknown; nothing is half, nothing twice."""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sutler.client
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import AlreadyExists, Cancelled, Conflict, DeadlineExceeded, Unavailable
from sutler.testing import ServiceProcess, postgresql_schema, wait_until
from sutler.wire import duration, to_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, MAIN, RULES, connect
from tests.integration.erp.requests import request_id
from tests.integration.erp.servers import Proxy, Reply
from tests.integration.erp.transactions import State, call, create, delete, get, refused, request, states, update

WORKERS = 3
SETTINGS = {"lease_seconds": 1.5, "secret_keys": KEY, "log_level": "warning"}
BROKEN = (Unavailable, Cancelled, DeadlineExceeded)


@asynccontextmanager
async def killable(folder: Path, data: str, url: str) -> AsyncIterator[tuple[ServiceProcess, Sutler]]:
    """A gateway in a process of its own, whose ERP is given up on after a second."""
    with ServiceProcess("services.erp", "SUTLER_ERP_", folder=folder, data=data, **SETTINGS) as process:
        await process.serving()
        async with sutler.client.connect(process.address) as client:
            never = erp_pb2.BreakerPolicy(failure_limit=1000)
            await connect(client, url, method_rules=RULES, timeout=duration(1.0), breaker_policy=never)
            yield process, client


@dataclass
class Records:
    """What one transaction works on."""

    sandbox: SandboxProcess
    ref: str = field(default_factory=lambda: f"crash-{uuid.uuid4().hex}")
    changed: int = 0
    archived: int = 0
    order: int = 0

    async def make(self) -> None:
        values = [{"name": "changed", "color": 1, "comment": "old"}, {"name": "archived"}]
        self.changed, self.archived = await self._call("res.partner", "create", values)
        [self.order] = await self._call("sale.order", "create", [{"partner_id": 10}])

    def steps(self, *more: Any) -> list[Any]:
        return [
            create({"name": "new", "ref": self.ref}),
            update(self.changed, {"color": 2, "comment": "new"}),
            delete(self.archived),
            *more,
        ]

    async def found(self) -> tuple[int, tuple[int, str], bool, str]:
        """How many were created, what was changed, whether it is archived, and the state of the order."""
        context = {"active_test": False}
        created = await self._call("res.partner", "search_count", [["ref", "=", self.ref]], context=context)
        [changed] = await self._call("res.partner", "read", [self.changed], ["color", "comment"])
        [archived] = await self._call("res.partner", "read", [self.archived], ["active"])
        [order] = await self._call("sale.order", "read", [self.order], ["state"])
        comment = "new" if "new" in changed["comment"] else "old"
        return created, (changed["color"], comment), not archived["active"], order["state"]

    async def _call(self, model: str, method: str, *args: Any, **named: Any) -> Any:
        return await asyncio.to_thread(self.sandbox.call, model, method, *args, **named)


DONE = (1, (2, "new"), True)
UNDONE = (0, (1, "old"), False)


async def ended(client: Sutler, name: str) -> erp_pb2.Transaction:
    """Waits for the end of a transaction, whatever the gateway goes through meanwhile."""

    async def look() -> erp_pb2.Transaction | None:
        try:
            found = await get(client, name)
        except BROKEN:
            return None
        return found if found.state not in (State.STATE_RUNNING, State.STATE_UNDOING) else None

    found = await wait_until(look, 40)
    assert found is not None
    return found


def moments() -> list[Any]:
    """The questions to the ERP forward and back, before it gets them and after it has done it; some take long."""
    few = {("load", True, False), ("action_cancel", True, False), ("write", False, True)}
    return [
        pytest.param(*moment, marks=() if moment in few else pytest.mark.crash)
        for method, undoing in (
            ("load", False), ("write", False), ("action_cancel", False),
            ("write", True), ("unlink", True), ("action_draft", True),
        )
        for moment in ((method, False, undoing), (method, True, undoing))
    ]  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("method", "reached", "undoing"), moments())
async def test_a_kill_while_the_erp_is_asked(
    method: str, reached: bool, undoing: bool, tmp_path: Path, sandbox: SandboxProcess, proxy: tuple[Proxy, str]
) -> None:
    server, url = proxy
    async with killable(tmp_path, f"sqlite:///{tmp_path}/erp.db", url) as (process, client):
        records = Records(sandbox)
        await records.make()
        steps = records.steps(call("action_cancel", records.order, undo="action_draft"))
        after = 2 if (method, undoing) == ("write", True) else 0  # an undo writes after the writes of the steps
        hold(server, method, after, reached=reached)
        begun = await client.erp.RunTransaction(request(*steps, *[refused()] * undoing, detached=True))
        await wait_until(lambda: server.count(method) > after)
        await asyncio.sleep(0.3 * reached)  # so that the ERP has done it
        process.kill()
        server.instead.clear()
        server.delays.clear()
        process.start()
        await process.serving()
        told = await ended(client, begun.name)
        await check(records, told, UNDONE if undoing else DONE)
        assert (told.state == State.STATE_OUTCOME_UNKNOWN) == (method == "action_cancel")
        assert (told.state == State.STATE_UNDO_FAILED) == (method == "action_draft")


def hold(server: Proxy, method: str, after: int, *, reached: bool) -> None:
    """Lets a call of a method wait, before the ERP gets it or after it has done it."""
    if not reached:
        server.replace(method, Reply(silent=True, delay=30), after=after)
    elif not after:
        server.slow(method, 30)
    else:
        server.losing[method] = [Reply(b'{"jsonrpc": "2.0", "id": null, "result": true}')] * after + [
            Reply(silent=True, delay=30)
        ]


async def check(records: Records, told: erp_pb2.Transaction, expected: tuple[Any, ...]) -> None:
    *found, order = await records.found()
    assert tuple(found) == expected, (State.State.Name(told.state), states(told))
    if told.state == State.STATE_SUCCEEDED:
        assert order in ("cancel", "draft")
    elif told.state == State.STATE_UNDONE:
        assert order == "draft"
    elif told.state == State.STATE_OUTCOME_UNKNOWN:
        assert [one.step_id for one in told.steps if one.state == erp_pb2.TransactionStep.STATE_OUTCOME_UNKNOWN] == [
            "4"
        ]
    else:
        assert [one.step_id for one in told.steps if one.state == erp_pb2.TransactionStep.STATE_UNDO_FAILED] == ["4"]


@pytest.mark.timeout(120)
async def test_each_transaction_ends_after_a_few_kills(tmp_path: Path, sandbox: SandboxProcess) -> None:
    await kill_again_and_again(3, random.Random(20261122), tmp_path, f"sqlite:///{tmp_path}/erp.db", sandbox)


@pytest.mark.crash
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("engine", "kills"), [("sqlite", 60), ("postgresql", 40)])
async def test_each_transaction_ends_after_many_kills(
    engine: str, kills: int, tmp_path: Path, sandbox: SandboxProcess
) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
    print(f"SEED={seed}")
    times = int(os.environ.get("KILLS") or kills)
    if engine == "sqlite":
        await kill_again_and_again(times, random.Random(seed), tmp_path, f"sqlite:///{tmp_path}/erp.db", sandbox)
        return
    with postgresql_schema() as data:
        await kill_again_and_again(times, random.Random(seed), tmp_path, data, sandbox)


async def kill_again_and_again(
    kills: int, chance: random.Random, folder: Path, data: str, sandbox: SandboxProcess
) -> None:
    """Kills a gateway again and again while workers run transactions, each until it is told what became of it."""
    stop = asyncio.Event()
    async with killable(folder, data, sandbox.url) as (process, client):
        workers = [
            asyncio.create_task(work(client, sandbox, random.Random(chance.random()), stop)) for _ in range(WORKERS)
        ]
        for _ in range(kills):
            await asyncio.sleep(chance.uniform(0.05, 1.5))  # the moment of the kill, not a wait
            process.kill()
            process.start()
            await process.serving()
            assert not any(worker.done() and worker.exception() for worker in workers)
        stop.set()
        told = [name for names in await asyncio.gather(*workers) for name in names]
        assert len(told) >= WORKERS
        listed = await client.erp.ListTransactions(erp_pb2.ListTransactionsRequest(parent=MAIN, page_size=1000))
        open_ = [one.name for one in listed.transactions if one.state in (State.STATE_RUNNING, State.STATE_UNDOING)]
        assert open_ == []


async def work(client: Sutler, sandbox: SandboxProcess, chance: random.Random, stop: asyncio.Event) -> list[str]:
    """Runs transactions one after the other, half of which fail, and checks each; returns what became of them."""
    outcomes = []
    while not stop.is_set():
        records = Records(sandbox)
        await records.make()
        calling = [call("action_cancel", records.order, undo="action_draft")] if chance.random() < 0.4 else []
        failing = chance.random() < 0.5
        steps = records.steps(*calling)
        asked = request(*steps, *([refused()] if failing else [create({"name": "last"})]), request_id=request_id())
        reason, name = await answer(client, asked)
        told = await get_patiently(client, name)
        standing = reason in ("", "OUTCOME_UNKNOWN")
        await check(records, told, DONE if standing else UNDONE)
        assert reason in ({"UNIQUE_VIOLATION"} if failing else {""}) | (
            {"OUTCOME_UNKNOWN", "UNDO_FAILED"} if calling else set()
        )
        outcomes.append(reason)
    return outcomes


async def answer(client: Sutler, asked: erp_pb2.RunTransactionRequest) -> tuple[str, str]:
    """Asks until there is an answer, under one request id; returns reason and name."""
    while True:
        try:
            return "", (await client.erp.RunTransaction(asked)).name
        except BROKEN:
            await asyncio.sleep(0.1)
        except (AlreadyExists, Conflict) as error:
            return error.reason, error.metadata["transaction"]


async def get_patiently(client: Sutler, name: str) -> erp_pb2.Transaction:
    while True:
        try:
            return await get(client, name)
        except BROKEN:
            await asyncio.sleep(0.1)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("reached", [False, True])
async def test_a_batch_of_several_calls_is_finished_after_a_kill(
    reached: bool, tmp_path: Path, sandbox: SandboxProcess, proxy: tuple[Proxy, str]
) -> None:
    server, url = proxy
    ref = f"crash-{uuid.uuid4().hex}"
    rows = [{"name": "a", "ref": ref}, {"name": "b", "ref": ref, "type": "delivery"}, {"name": "c", "ref": ref}]
    asked = erp_pb2.BatchCreateRecordsRequest(
        connection=MAIN,
        model="res.partner",
        rows=[erp_pb2.RecordInput(external_id=f"{ref}.{row['name']}", values=to_struct(row)) for row in rows],
        request_id=request_id(),
    )

    async def stored() -> list[str]:
        found = await asyncio.to_thread(sandbox.call, "res.partner", "search_read", [["ref", "=", ref]], ["name"])
        return sorted(one["name"] for one in found)

    async with killable(tmp_path, f"sqlite:///{tmp_path}/erp.db", url) as (process, client):
        silence = Reply(silent=True, delay=30)
        if reached:
            server.altered["load"] = [lambda reply: reply, lambda _: silence]
        else:
            server.replace("load", silence, after=1)
        work = asyncio.ensure_future(client.erp.BatchCreateRecords(asked))
        await wait_until(lambda: server.count("load") == 2 and not server.open)
        assert await stored() == (["a", "b", "c"] if reached else ["a", "c"])
        process.kill()
        server.instead.clear()
        process.start()
        await process.serving()
        await asyncio.gather(work, return_exceptions=True)
        listing = erp_pb2.ListTransactionsRequest(parent=MAIN)

        async def finished() -> str:
            try:
                [listed] = (await client.erp.ListTransactions(listing)).transactions
            except BROKEN:
                return ""
            return listed.name if listed.state == State.STATE_SUCCEEDED else ""

        name = await wait_until(finished, 40)
        assert await stored() == ["a", "b", "c"]
        told = await client.erp.BatchCreateRecords(asked)
        names = await asyncio.to_thread(sandbox.call, "res.partner", "read", [one.id for one in told.records], ["name"])
        assert [one["name"] for one in names] == ["a", "b", "c"]
        assert told.transaction == name
        assert await stored() == ["a", "b", "c"]
