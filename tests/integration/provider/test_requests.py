"""Machines asked for and given back, through a real server and real processes."""

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.longrunning.operations_pb2 import CancelOperationRequest
from sutler.client import Sutler
from sutler.errors import (
    AlreadyExists,
    Cancelled,
    Exhausted,
    FailedPrecondition,
    Invalid,
    NotFound,
    Unimplemented,
)
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import is_gone, wait_until
from sutler.type.v1.operation_pb2 import OperationMetadata

from tests.integration.provider.conftest import (
    LAB,
    SMALL,
    Serve,
    add_template,
    ask,
    begin,
    give_back,
    machine,
    machines,
    new_id,
    pid_of,
    set_up,
)


async def test_a_life_on_each_engine(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        request = await ask(client, 3, tags={"order": "30"}, machine_request_id="first")
        assert (request.name, request.state) == ("machineRequests/first", pb.MachineRequest.STATE_COMPLETE)
        assert [t.state for t in request.transitions][:2] == [
            pb.MachineRequest.STATE_PENDING,
            pb.MachineRequest.STATE_IN_PROGRESS,
        ]
        found = await machines(client, 'machine_request = "machineRequests/first" AND tags.order = "30"')
        assert [m.name for m in found] == list(request.machines)
        assert {m.state for m in found} == {pb.Machine.STATE_RUNNING}
        assert not any(is_gone(pid_of(m)) for m in found)
        done = await give_back(client, machine_request=request.name)
        assert (done.state, done.fulfilled, list(done.machines)) == (
            pb.MachineRequest.STATE_COMPLETE,
            3,
            list(request.machines),
        )
        assert all(is_gone(pid_of(m)) for m in found)
        ended = await machines(client, "state = STATE_TERMINATED AND exit_code = 143")
        assert len(ended) == 3
        assert await machines(client, "end_time:*") == ended


async def test_each_machine_is_a_process_of_its_own(service: Sutler) -> None:
    await ask(service, 2)
    for found in await machines(service):
        pid = pid_of(found)
        assert os.getsid(pid) == os.getpgid(pid) == pid
        assert os.getsid(0) != pid
        environment = Path(f"/proc/{pid}/environ").read_text().split("\0")
        assert f"SUTLER_MACHINE={found.name}" in environment
        assert f"SUTLER_MACHINE_REQUEST={found.machine_request}" in environment
        assert f"SUTLER_TEMPLATE={SMALL}" in environment
        assert not any(variable.startswith("HOME=") for variable in environment), "nothing else is inherited"


async def test_a_repeat_with_the_same_id_starts_nothing(service: Sutler) -> None:
    request_id = new_id()
    first, second = await asyncio.gather(*(begin(service, 2, request_id=request_id) for _ in range(2)))
    third = await begin(service, 2, request_id=request_id)
    assert first.name == second.name == third.name
    await service.wait(first)
    assert len(await machines(service)) == 2
    with pytest.raises(Invalid) as refused:
        await begin(service, 3, request_id=request_id)
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_repeat_after_a_restart(serving: Serve) -> None:
    request_id = new_id()
    async with serving() as client:
        await set_up(client)
        first = await begin(client, 2, request_id=request_id)
        await client.wait(first)
    async with serving() as client:
        assert (await begin(client, 2, request_id=request_id)).name == first.name
        assert len(await machines(client)) == 2


async def test_validate_only_gives_the_plan_and_starts_nothing(service: Sutler) -> None:
    operation = await begin(service, 4, validate_only=True)
    assert operation.done
    assert not operation.name
    planned, metadata = pb.MachineRequest(), OperationMetadata()
    assert operation.response.Unpack(planned)
    assert operation.metadata.Unpack(metadata)
    assert (planned.count, planned.provider, planned.uid) == (4, LAB, "")
    assert [step.count for step in metadata.plan] == [4]
    assert await machines(service) == []
    with pytest.raises(Exhausted):
        await begin(service, 101, validate_only=True)


async def test_refusals(service: Sutler) -> None:
    with pytest.raises(NotFound) as missing:
        await begin(service, template="templates/none")
    assert missing.value.resource == "templates/none"
    with pytest.raises(Exhausted) as limit:
        await begin(service, 101)
    assert limit.value.reason == "MACHINE_LIMIT_EXCEEDED"
    assert limit.value.metadata["limit"] == "100"
    await ask(service, machine_request_id="One")
    with pytest.raises(AlreadyExists):
        await begin(service, machine_request_id="one")
    with pytest.raises(Unimplemented) as selector:
        await service.providers.RequestMachines(
            pb.RequestMachinesRequest(selector=pb.MachineSelector(filter='tags.size = "s"'), count=1)
        )
    assert selector.value.metadata["field"] == "selector"
    with pytest.raises(NotFound):
        await service.providers.ReturnMachines(pb.ReturnMachinesRequest(names=["machines/none"]))
    with pytest.raises(Invalid) as filter:
        await service.providers.ReturnMachines(pb.ReturnMachinesRequest(all=True, filter="colour = 1"))
    assert filter.value.reason == "FILTER_INVALID"


async def test_a_program_that_does_not_exist_fails_the_request(service: Sutler) -> None:
    await add_template(service, "broken", command=["no-such-program"])
    operation = await begin(service, 2, "templates/broken", machine_request_id="broken")
    with pytest.raises(FailedPrecondition) as failed:
        await service.wait(operation)
    assert failed.value.reason == "PROVIDER_REFUSED"
    assert failed.value.metadata["code"] == "ENOENT"
    request = await service.providers.GetMachineRequest(pb.GetMachineRequestRequest(name="machineRequests/broken"))
    assert (request.state, request.failed_count) == (pb.MachineRequest.STATE_FAILED, 2)
    assert [(d.code, d.count, d.field) for d in request.diagnostics] == [("ENOENT", 2, "process.command")]
    assert {m.state for m in await machines(service)} == {pb.Machine.STATE_FAILED}


async def test_the_operation_and_the_request_share_one_life(service: Sutler) -> None:
    name = await add_template(service, "slow", command=["sleep", "1000"], working_directory="/tmp")
    for cancel_operation in (True, False):
        operation = await begin(service, 20, name)
        metadata = OperationMetadata()
        assert operation.metadata.Unpack(metadata)
        if cancel_operation:
            await service.providers.CancelOperation(CancelOperationRequest(name=operation.name))
        else:
            await service.providers.CancelMachineRequest(
                pb.CancelMachineRequestRequest(name=metadata.target, reason="enough", return_machines=True)
            )
        with pytest.raises(Cancelled):
            await service.wait(operation)
        request = await service.providers.GetMachineRequest(pb.GetMachineRequestRequest(name=metadata.target))
        assert request.state == pb.MachineRequest.STATE_CANCELED
        await give_back(service, all=True)

    async def all_gone() -> bool:
        return not await machines(service, "NOT (state = STATE_TERMINATED OR state = STATE_FAILED)")

    await wait_until(all_gone)


async def test_the_deadline_ends_what_does_not_come(service: Sutler) -> None:
    request = await ask(service, 1, timeout={"seconds": 5})
    span = request.deadline_time.ToDatetime(UTC) - request.start_time.ToDatetime(UTC)
    assert span.total_seconds() == 5
    assert request.end_time.ToDatetime(UTC) < datetime.now(UTC)


class TestReturns:
    async def test_some_machines(self, service: Sutler) -> None:
        request = await ask(service, 3)
        first = request.machines[0]
        done = await give_back(service, names=[first])
        assert (done.count, done.fulfilled, list(done.machines)) == (1, 1, [first])
        assert len(await machines(service, "state = STATE_RUNNING")) == 2
        again = await give_back(service, names=[first])
        assert [(s.machine, s.reason) for s in again.skipped] == [(first, pb.SkippedMachine.REASON_ENDED)]
        assert again.state == pb.MachineRequest.STATE_COMPLETE

    async def test_what_a_filter_leaves(self, service: Sutler) -> None:
        await ask(service, 1, tags={"size": "s"})
        await ask(service, 2, tags={"size": "l"})
        done = await give_back(service, all=True, filter='tags.size = "l"')
        assert done.count == 2
        assert [m.tags["size"] for m in await machines(service, "state = STATE_RUNNING")] == ["s"]

    async def test_one_that_does_not_listen_is_made_to_end_after_its_grace(self, service: Sutler) -> None:
        deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"]
        name = await add_template(service, "deaf", command=deaf, stop_grace_duration={"nanos": 500_000_000})
        request = await ask(service, 1, name)
        found = await machine(service, request.machines[0])
        done = await give_back(service, machine_request=request.name)
        assert done.state == pb.MachineRequest.STATE_COMPLETE
        assert (await machine(service, found.name)).exit_code == 137
        assert is_gone(pid_of(found))

    async def test_force_does_not_wait(self, service: Sutler) -> None:
        deaf = ["sh", "-c", "trap '' TERM; while :; do sleep 0.2; done"]
        name = await add_template(service, "deaf", command=deaf, stop_grace_duration={"seconds": 3000})
        request = await ask(service, 1, name)
        await service.providers.ReturnMachines(pb.ReturnMachinesRequest(machine_request=request.name))
        done = await give_back(service, names=request.machines, force=True)
        assert done.fulfilled == 1

    async def test_the_stop_signal_of_the_template(self, service: Sutler) -> None:
        polite = ["sh", "-c", "trap 'exit 7' INT; while :; do sleep 0.05; done"]
        name = await add_template(service, "polite", command=polite, stop_signal="SIGINT")
        request = await ask(service, 1, name)
        await give_back(service, all=True)
        assert (await machine(service, request.machines[0])).exit_code == 7


async def test_machines_are_stopped_and_started_again(service: Sutler) -> None:
    request = await ask(service, 2)
    before = {m.name: pid_of(m) for m in await machines(service)}
    stopped = await service.wait(
        await service.providers.StopMachines(pb.StopMachinesRequest(names=[*request.machines, "machines/none"]))
    )
    assert isinstance(stopped, pb.StopMachinesResponse)
    assert [r.machine.state for r in stopped.results[:2]] == [pb.Machine.STATE_STOPPED] * 2
    assert stopped.results[2].HasField("status")
    assert all(is_gone(pid) for pid in before.values())
    started = await service.wait(await service.providers.StartMachines(pb.StartMachinesRequest(names=request.machines)))
    assert isinstance(started, pb.StartMachinesResponse)
    after = {r.machine.name: pid_of(r.machine) for r in started.results}
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert not any(is_gone(pid) for pid in after.values())
