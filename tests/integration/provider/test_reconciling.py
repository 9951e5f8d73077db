"""Real machines that are killed from outside, or lose their records: told, marked, adopted, removed; once."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.longrunning.operations_pb2 import CancelOperationRequest, GetOperationRequest, Operation
from sutler.client import Sutler, connect
from sutler.errors import Cancelled, Conflict, FailedPrecondition, Invalid, NotFound, SutlerError
from sutler.operations import records
from sutler.provider.v1 import provider_pb2 as pb
from sutler.store import open_database
from sutler.testing import ServiceProcess, is_gone, wait_until
from sutler.testing.fake_provider import serve_provider
from sutler.wire import seconds

from services.provider.adapters.process import inventory
from services.provider.adapters.process.kind import ProcessKind
from services.provider.adapters.stored import COMPONENT, MIGRATIONS
from tests.integration.provider import test_plugins as plug_ins
from tests.integration.provider.conftest import (
    LAB,
    Serve,
    ask,
    give_back,
    machine,
    machines,
    new_id,
    pid_of,
    set_up,
)

RUNNING, FAILED, TERMINATED = pb.Machine.STATE_RUNNING, pb.Machine.STATE_FAILED, pb.Machine.STATE_TERMINATED
ADOPT, REMOVE = pb.ORPHAN_POLICY_ADOPT, pb.ORPHAN_POLICY_REMOVE
FINDING = pb.ReconcileFinding
SELDOM = {"reconcile_seconds": 3600.0}


async def begin(client: Sutler, **more: Any) -> Operation:
    return await client.providers.ReconcileProvider(pb.ReconcileProviderRequest(**{"name": LAB, **more}))


async def reconcile(client: Sutler, **more: Any) -> pb.ReconcileProviderResponse:
    response = await client.wait(await begin(client, **more))
    assert isinstance(response, pb.ReconcileProviderResponse)
    return response


async def rows(url: str, sql: str, *values: Any) -> Any:
    """Reads or writes behind the service's back."""
    migrations = {records.COMPONENT: records.MIGRATIONS, COMPONENT: MIGRATIONS}
    async with open_database(url, name="provider", migrations=migrations) as database:
        if sql.startswith("SELECT"):
            return await database.read(lambda tx: tx.all(sql, values))
        return await database.write(lambda tx: tx.execute(sql, values))


async def forget(url: str, name: str) -> None:
    assert await rows(url, "DELETE FROM machines WHERE name = ?", name) == 1


async def state(client: Sutler, name: str, *wanted: int) -> pb.Machine:
    async def there() -> pb.Machine | None:
        found = [m for m in await machines(client) if m.name == name and m.state in wanted]
        return found[0] if found else None

    found = await wait_until(there, 30)
    assert found is not None
    return found


def told(answer: pb.ReconcileProviderResponse) -> list[tuple[int, int, str]]:
    return [(f.kind, f.action, f.machine) for f in answer.findings]


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every machine was started an hour earlier than it was."""
    boot = inventory.boot_time
    monkeypatch.setattr(inventory, "boot_time", lambda: boot() - 3600)


async def test_what_is_killed_or_forgotten(serving: Serve, url: str, old: None) -> None:
    async with serving(data=url, **SELDOM) as client:
        await set_up(client)
        first, second, third = [await machine(client, name) for name in (await ask(client, 3)).machines]
        os.kill(pid_of(first), signal.SIGKILL)
        lost = await state(client, first.name, FAILED)
        assert lost.state_reason and seconds(lost.lost_time) == seconds(lost.end_time)
        assert lost in await machines(client, f'lost_time >= "{first.create_time.ToJsonString()}"')

        await forget(url, second.name)
        answer = await reconcile(client)
        assert (answer.applied, answer.observed_count, answer.matched_count) == (False, 2, 1)
        assert told(answer) == [(FINDING.KIND_ORPHAN, FINDING.ACTION_KEEP, second.name)]
        (finding,) = answer.findings
        assert (finding.native_id, finding.machine_request) == (str(pid_of(second)), first.machine_request)
        would = await reconcile(client, orphan_policy=ADOPT)
        assert told(would) == [(FINDING.KIND_ORPHAN, FINDING.ACTION_ADOPT, second.name)]
        young = await reconcile(client, orphan_policy=ADOPT, grace_duration={"seconds": 7200}, apply=True)
        assert told(young) == told(answer)
        with pytest.raises(NotFound):
            await machine(client, second.name)

        key = new_id()
        done = await reconcile(client, orphan_policy=ADOPT, apply=True, request_id=key)
        assert (done.applied, told(done)) == (True, told(would))
        assert await reconcile(client, orphan_policy=ADOPT, apply=True, request_id=key) == done, "the same answer"
        adopted = await machine(client, second.name)
        assert (adopted.state, pid_of(adopted)) == (RUNNING, pid_of(second))
        assert adopted.HasField("adopt_time") and adopted.uid != second.uid
        assert (adopted.machine_request, adopted.template) == (second.machine_request, second.template)
        request = pb.GetMachineRequestRequest(name=second.machine_request)
        assert (await client.providers.GetMachineRequest(request)).running_count == 2
        provider = await client.providers.GetProvider(pb.GetProviderRequest(name=LAB))
        assert provider.HasField("reconcile_time")

        await forget(url, third.name)
        gone = await reconcile(client, orphan_policy=REMOVE, apply=True)
        assert told(gone) == [(FINDING.KIND_ORPHAN, FINDING.ACTION_REMOVE, third.name)]
        assert is_gone(pid_of(third)), "when the operation has ended"
        assert (await machine(client, third.name)).state == TERMINATED
        assert (await reconcile(client)).finding_count == 0


async def test_what_a_plug_in_shows(serving: Serve, url: str) -> None:
    async with (
        serve_provider() as (fake, address),
        serving(data=url, plugin_addresses={"fake": address}, sweep_seconds=60.0, **SELDOM) as client,
    ):
        await plug_ins.set_up(client)
        request = await ask(client, 4, plug_ins.SMALL)
        assert told(await reconcile(client, name=plug_ins.CLOUD)) == []
        lost, orphan, stopped, _ = await machines(client)
        fake.lose(lost.native_id)
        await forget(url, orphan.name)
        for each in fake.machines():
            each.launch_time.FromSeconds(1_700_000_000)
        answer = await reconcile(client, name=plug_ins.CLOUD, orphan_policy=ADOPT, apply=True)
        assert sorted(told(answer)) == [
            (FINDING.KIND_ORPHAN, FINDING.ACTION_ADOPT, orphan.name),
            (FINDING.KIND_LOST, FINDING.ACTION_MARK, lost.name),
        ]
        assert (await state(client, lost.name, FAILED)).HasField("lost_time")
        assert (await state(client, orphan.name, RUNNING)).machine_request == request.name
        await client.wait(await client.providers.StopMachines(pb.StopMachinesRequest(names=[stopped.name])))
        assert told(await reconcile(client, name=plug_ins.CLOUD, apply=True)) == []
        await client.wait(await client.providers.StartMachines(pb.StartMachinesRequest(names=[stopped.name])))
        await give_back(client, machine_request=request.name)
        assert {each.state for each in fake.machines()} == {FAILED, TERMINATED}


async def test_by_itself_and_of_two_services_once(serving: Serve, url: str) -> None:
    often = {"reconcile_seconds": 0.3, "orphan_policy": "adopt", "orphan_grace_seconds": 1.0}
    async with serving(data=url, **often) as one, serving(data=url, **often) as two:
        await set_up(one)
        names = list((await ask(one, 3)).machines)
        before = {name: pid_of(await machine(one, name)) for name in names}
        for name in names:
            await forget(url, name)
        for name in names:
            found = await state(two, name, RUNNING)
            assert (pid_of(found), found.HasField("adopt_time")) == (before[name], True)
        sql = "SELECT COUNT(*) FROM changes WHERE collection = 'machines' AND body_before IS NULL"
        assert await rows(url, sql) == [(6,)], "each was asked for once and adopted once"
    async with serving(data=url, **{**often, "orphan_policy": "remove"}) as client:
        await forget(url, names[0])
        await state(client, names[0], TERMINATED)
        assert is_gone(before[names[0]])


async def test_under_way_and_cancelled(serving: Serve, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(data=url, **SELDOM) as client:
        await set_up(client)
        free, shown = asyncio.Event(), ProcessKind.list

        async def waiting(*args: Any) -> AsyncIterator[Any]:
            await free.wait()
            async for page in shown(*args):
                yield page

        monkeypatch.setattr(ProcessKind, "list", waiting)
        operation = await begin(client, apply=True)
        for apply in (True, False):
            with pytest.raises(Conflict) as busy:
                await begin(client, apply=apply)
            assert (busy.value.reason, busy.value.metadata["operation"]) == ("OPERATION_IN_PROGRESS", operation.name)
        await client.providers.CancelOperation(CancelOperationRequest(name=operation.name))
        with pytest.raises(Cancelled):
            await client.wait(operation)
        free.set()
        assert (await reconcile(client, apply=True)).applied
        again = await client.providers.GetOperation(GetOperationRequest(name=operation.name))
        assert again.error.code == 1


async def test_refusals(service: Sutler) -> None:
    wrong: list[tuple[dict[str, Any], type[SutlerError], str]] = [
        ({"name": "providers/none"}, NotFound, "NOT_FOUND"),
        ({"name": LAB, "regions": ["mars"]}, Invalid, "REGION_UNKNOWN"),
        ({"name": LAB, "grace_duration": {"seconds": 59}}, Invalid, "FIELD_INVALID"),
        ({"name": LAB, "orphan_policy": 77}, Invalid, "FIELD_INVALID"),
    ]
    for request, kind, reason in wrong:
        with pytest.raises(kind) as refused:
            await service.providers.ReconcileProvider(pb.ReconcileProviderRequest(**request))
        assert refused.value.reason == reason
    off = pb.Provider(name=LAB, type="process", enabled=False)
    await service.providers.UpdateProvider(pb.UpdateProviderRequest(provider=off))
    with pytest.raises(FailedPrecondition) as disabled:
        await reconcile(service)
    assert disabled.value.reason == "PROVIDER_DISABLED"


async def test_killed_it_goes_on(place: Path, tmp_path: Path) -> None:
    data = f"sqlite:///{tmp_path}/provider.db"
    with ServiceProcess(
        "services.provider",
        "SUTLER_PROVIDER_",
        folder=tmp_path,
        data=data,
        machines=place,
        reconcile_seconds=3600,
        drain_pause_seconds=0,
    ) as process:
        await process.serving()
        async with connect(process.address, attempts=1) as client:
            await set_up(client)
            names = list((await ask(client, 2)).machines)
            operation = await begin(client, apply=True)
            process.kill()
        await forget(data, names[0])
        os.kill(pid := int((await _pids(place))[names[1]]), signal.SIGKILL)
        await wait_until(lambda: is_gone(pid))
        process.start()
        await process.serving()
        async with connect(process.address, attempts=1) as client:
            answer = await client.wait(operation)
            assert isinstance(answer, pb.ReconcileProviderResponse) and answer.applied
            lost = await state(client, names[1], FAILED)
            assert lost.state_reason and lost.HasField("lost_time")


async def _pids(place: Path) -> dict[str, str]:
    texts = {f"machines/{path.stem}": path.read_text(errors="replace") for path in place.glob("*.lock")}
    return {name: text.partition("pid=")[2].split(" ")[0] for name, text in texts.items()}
