"""Every transaction ends and tells how, whatever goes wrong within the gateway, and lets go of its records."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Conflict, Internal, Invalid
from sutler.testing import wait_until
from sutler.wire import duration, to_struct

from services.erp.adapters.odoo.driver import OdooDriver
from services.erp.adapters.stored_transactions import StoredTransactions
from services.erp.transactions import running
from services.erp.transactions.course import Course
from services.erp.transactions.model import StepState
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, RULES, connect, gateway
from tests.integration.erp.servers import Proxy, Reply
from tests.integration.erp.transactions import State, call, create, get, refused, request, run, states, update


class Surprises:
    """Stands before a method and raises what nobody expects, each time or a few times."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: type, name: str, times: int = 1000) -> None:
        self.calls = 0
        method = getattr(place, name)

        async def surprising(*args: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls <= times:
                raise RuntimeError("surprise")
            return await method(*args, **named)

        monkeypatch.setattr(place, name, surprising)


def partner(sandbox: SandboxProcess) -> int:
    [made] = sandbox.call("res.partner", "create", [{"name": "kept", "color": 1}])
    return int(made)


async def is_free(client: Sutler, record_id: int) -> None:
    """Another writer of the record does not wait, and the connection can be deleted."""
    other = erp_pb2.UpdateRecordRequest(
        connection=MAIN, model="res.partner", id=record_id, values=to_struct({"ref": "free"})
    )
    await client.erp.UpdateRecord(other, timeout=3)
    await client.erp.DeleteConnection(erp_pb2.DeleteConnectionRequest(name=MAIN))


async def ended(client: Sutler, name: str) -> erp_pb2.Transaction:
    async def look() -> erp_pb2.Transaction | None:
        found = await get(client, name)
        return found if found.HasField("end_time") else None

    found = await wait_until(look, 20)
    assert found is not None
    return found


async def test_a_number_that_cannot_be_sent_is_refused(erp: Sutler, sandbox: SandboxProcess) -> None:
    one = partner(sandbox)
    row = erp_pb2.RecordUpdate(id=one, values=to_struct({"color": "1" * 30}))
    with pytest.raises(Invalid):
        await erp.erp.BatchUpdateRecords(
            erp_pb2.BatchUpdateRecordsRequest(connection=MAIN, model="res.partner", rows=[row])
        )
    await is_free(erp, one)


async def test_an_exception_before_the_erp_is_asked_is_the_steps_refusal(
    erp: Sutler, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = partner(sandbox)
    Surprises(monkeypatch, OdooDriver, "read", 1)
    with pytest.raises(Internal) as caught:
        await run(erp, create({"name": "new"}), update(one, {"color": 2}), update(one, {"color": 3}))
    assert caught.value.metadata["step"] == "2"
    found = await get(erp, caught.value.metadata["transaction"])
    assert (found.state, states(found)) == (State.STATE_UNDONE, ["UNDONE", "FAILED", "SKIPPED"])
    await is_free(erp, one)


async def test_an_exception_while_the_erp_is_asked_comes_a_few_times_at_most(
    erp: Sutler, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = partner(sandbox)
    with monkeypatch.context() as patch:
        surprises = Surprises(patch, OdooDriver, "write")
        with pytest.raises(Conflict) as caught:
            await run(erp, update(one, {"color": 2}), update(one, {"color": 3}))
        assert (caught.value.reason, caught.value.metadata["step"]) == ("OUTCOME_UNKNOWN", "1")
        assert 1 < surprises.calls < 10
    found = await get(erp, caught.value.metadata["transaction"])
    assert (found.state, states(found)) == (State.STATE_OUTCOME_UNKNOWN, ["OUTCOME_UNKNOWN", "SKIPPED"])
    await is_free(erp, one)


async def test_a_batch_that_nobody_could_read_of_is_there_when_somebody_has_to_look(
    erp: Sutler, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = partner(sandbox)
    row = erp_pb2.RecordUpdate(id=one, values=to_struct({"color": 2}))
    with monkeypatch.context() as patch:
        Surprises(patch, OdooDriver, "write")
        with pytest.raises(Conflict) as caught:
            await erp.erp.BatchUpdateRecords(
                erp_pb2.BatchUpdateRecordsRequest(connection=MAIN, model="res.partner", rows=[row])
            )
    assert caught.value.reason == "OUTCOME_UNKNOWN"
    listed = await erp.erp.ListTransactions(erp_pb2.ListTransactionsRequest(parent=MAIN))
    assert [one.state for one in listed.transactions] == [State.STATE_OUTCOME_UNKNOWN]
    await is_free(erp, one)


async def test_an_exception_that_passes_does_no_harm(
    erp: Sutler, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = partner(sandbox)
    Surprises(monkeypatch, OdooDriver, "write", 1)
    done = await run(erp, update(one, {"color": 2}), update(one, {"color": 3}))
    assert states(done) == ["SUCCEEDED", "SUCCEEDED"]
    assert sandbox.call("res.partner", "read", [one], ["color"])[0]["color"] == 3


async def test_an_exception_of_an_undo_is_told(
    erp: Sutler, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    surprises = Surprises(monkeypatch, OdooDriver, "delete")
    with pytest.raises(Conflict) as caught:
        await run(erp, create({"name": "new"}), refused())
    assert (caught.value.reason, caught.value.metadata["steps"]) == ("UNDO_FAILED", "1")
    assert 1 < surprises.calls < 10
    await is_free(erp, partner(sandbox))


async def test_a_transaction_that_cannot_begin_ends_undone(
    erp: Sutler, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "AGAIN_SECONDS", 0.0)
    surprises = Surprises(monkeypatch, Course, "_forward")
    one = partner(sandbox)
    begun = await erp.erp.RunTransaction(request(update(one, {"color": 2}), detached=True))
    found = await ended(erp, begun.name)
    assert (found.state, states(found), surprises.calls) == (State.STATE_UNDONE, ["FAILED"], running.MAX_TRIES)
    assert found.error.message.startswith("internal error; incident ")
    await is_free(erp, one)


async def test_a_transaction_that_cannot_be_undone_tells_what_stands(
    erp: Sutler, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "AGAIN_SECONDS", 0.0)
    save = StoredTransactions.save

    async def surprising(self: StoredTransactions, fence: int, entry: Any, steps: Any, touched: Any = ()) -> None:
        if any(one.state is StepState.UNDOING for one in steps):
            raise RuntimeError("surprise")
        await save(self, fence, entry, steps, touched)

    monkeypatch.setattr(StoredTransactions, "save", surprising)
    begun = await erp.erp.RunTransaction(request(create({"name": "new"}), refused(), detached=True))
    found = await ended(erp, begun.name)
    assert (found.state, states(found)) == (State.STATE_UNDO_FAILED, ["UNDO_FAILED", "FAILED"])
    await is_free(erp, partner(sandbox))


async def test_a_stop_waits_for_the_answer_to_a_step(
    sqlite: str, sandbox: SandboxProcess, proxy: tuple[Proxy, str]
) -> None:
    server, url = proxy
    one = partner(sandbox)
    [order] = sandbox.call("sale.order", "create", [{"partner_id": one}])
    server.slow("action_confirm", 1)
    async with gateway(sqlite) as client:
        await connect(client, url, method_rules=RULES)
        steps = [call("action_confirm", order, undo="action_cancel"), update(one, {"color": 2})]
        begun = await client.erp.RunTransaction(request(*steps, detached=True))
        await wait_until(lambda: server.slowed > 0)
    assert sandbox.call("res.partner", "read", [one], ["color"])[0]["color"] == 1
    async with gateway(sqlite) as client:
        found = await ended(client, begun.name)
        assert (found.state, states(found)) == (State.STATE_SUCCEEDED, ["SUCCEEDED", "SUCCEEDED"])
    assert server.count("action_confirm") == 1


async def test_a_stop_does_not_wait_for_an_erp_that_is_down(
    sqlite: str, sandbox: SandboxProcess, proxy: tuple[Proxy, str]
) -> None:
    server, url = proxy
    server.replace("write", Reply(silent=True), times=1000)
    one = partner(sandbox)
    async with gateway(sqlite, drain_seconds=30) as client:
        await connect(client, url, timeout=duration(1))
        begun = await client.erp.RunTransaction(request(update(one, {"color": 2}), detached=True))
        await wait_until(lambda: server.count("write") > 2)
        stopped = time.monotonic()
    assert time.monotonic() - stopped < 10
    server.instead.clear()
    async with gateway(sqlite) as client:
        assert (await ended(client, begun.name)).state == State.STATE_SUCCEEDED
