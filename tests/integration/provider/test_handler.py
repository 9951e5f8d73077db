"""ResourceHandler: machine sets declared elsewhere, made real here."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.client import Sutler, connect
from sutler.errors import Conflict, Exhausted, Invalid, NotFound, Unavailable, Unimplemented
from sutler.provider.v1 import provider_pb2
from sutler.resource.v1 import handler_pb2 as pb
from sutler.resource.v1.resource_pb2 import Resource
from sutler.testing import ServiceProcess, is_gone, wait_until
from sutler.wire import from_struct, to_struct

from tests.integration.provider.conftest import SMALL, Serve, add_template, machines, new_id, pid_of, set_up, users

SET = "subscriptions/shop/resourceGroups/orders/providers/Sutler.Compute/machineSets/S00030"
RUNNING = "state = STATE_RUNNING"


def context(fence: int = 1, attempt: int = 1, tenant: str = "default") -> pb.HandlerContext:
    return pb.HandlerContext(
        tenant=tenant,
        principal="user:anna",
        attempt=attempt,
        fencing_token=fence,
        operation="resourceOperations/o1",
        correlation_id="order-30",
        deadline_time=Timestamp(seconds=int(time.time()) + 300),
    )


def resource(count: Any = 2, template: str = SMALL, name: str = SET) -> Resource:
    return Resource(
        name=name,
        type="Sutler.Compute/machineSets",
        properties=to_struct({"template": template, "count": count}),
        tags={"order": "30"},
    )


def applying(count: Any = 2, key: str = "", fence: int = 1, attempt: int = 1, **more: Any) -> pb.ApplyRequest:
    return pb.ApplyRequest(
        context=context(fence, attempt), idempotency_key=key or new_id(), desired=resource(count, **more)
    )


async def apply(client: Sutler, request: pb.ApplyRequest) -> tuple[dict[str, Any], list[pb.HandlerProgress]]:
    """Applies, and returns the outputs and what was told on the way."""
    told = []
    async with asyncio.timeout(20):
        async for answer in client.handler.Apply(request):
            if answer.WhichOneof("event") == "result":
                return from_struct(answer.result.outputs), told
            told.append(answer.progress)
    raise AssertionError("it ended without a result")


async def delete(client: Sutler, fence: int = 9, key: str = "") -> list[pb.HandlerProgress]:
    told = []
    request = pb.DeleteRequest(context=context(fence), idempotency_key=key or new_id(), resource=resource())
    async with asyncio.timeout(20):
        async for answer in client.handler.Delete(request):
            if answer.WhichOneof("event") == "result":
                return told
            told.append(answer.progress)
    raise AssertionError("it ended without a result")


async def read(client: Sutler, count: int = 2, previous: int | None = None) -> pb.ReadResponse:
    request = pb.ReadRequest(context=context(), desired=resource(count))
    if previous is not None:
        request.previous.CopyFrom(resource(previous))
    found: pb.ReadResponse = await client.handler.Read(request)
    return found


async def test_a_set_lives_and_ends(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        outputs, told = await apply(client, applying(3))
        assert [m["state"] for m in outputs["machines"]] == ["RUNNING"] * 3
        assert not any(is_gone(m["pid"]) for m in outputs["machines"])
        assert outputs["request"].startswith("machineRequests/req-")
        percents = [progress.progress_percent for progress in told]
        assert percents == sorted(percents)
        assert all(progress.step for progress in told)
        assert (await read(client, 3)).presence == pb.ReadResponse.PRESENCE_WHOLE
        for found in await machines(client):
            assert (found.owner, found.machine_request) == (SET, outputs["request"])
        await delete(client)
        assert all(is_gone(m["pid"]) for m in outputs["machines"])
        assert (await read(client, 3)).presence == pb.ReadResponse.PRESENCE_ABSENT
        await delete(client, 10)


async def test_the_same_key_starts_nothing_twice_whether_at_once_or_later(service: Sutler) -> None:
    key = new_id()
    answers = await asyncio.gather(*(apply(service, applying(3, key, fence=n, attempt=n)) for n in (1, 1, 1)))
    assert len({tuple(m["name"] for m in outputs["machines"]) for outputs, _ in answers}) == 1
    await apply(service, applying(3, key, fence=2, attempt=2))
    assert len(await machines(service)) == 3


async def test_it_grows_shrinks_and_replaces_the_dead(service: Sutler) -> None:
    first, _ = await apply(service, applying(2))
    more, _ = await apply(service, applying(4, fence=2))
    assert {m["name"] for m in first["machines"]} < {m["name"] for m in more["machines"]}
    dead = more["machines"][0]
    os.kill(dead["pid"], signal.SIGKILL)

    async def noticed() -> bool:
        return bool(await machines(service, "state = STATE_FAILED"))

    await wait_until(noticed)
    assert (await read(service, 4)).presence == pb.ReadResponse.PRESENCE_PARTIAL
    healed, _ = await apply(service, applying(4, fence=3))
    assert dead["name"] not in {m["name"] for m in healed["machines"]}
    assert len(healed["machines"]) == 4
    fewer, _ = await apply(service, applying(1, fence=4))
    assert len(fewer["machines"]) == 1
    assert len(await machines(service, RUNNING)) == 1
    assert (await read(service, 5, previous=1)).presence == pb.ReadResponse.PRESENCE_ABSENT


async def test_another_template_takes_the_place_of_the_first(service: Sutler) -> None:
    await apply(service, applying(2))
    large = await add_template(service, "large", command=["sleep", "2000"])
    outputs, _ = await apply(service, applying(2, fence=2, template=large))
    living = await machines(service, RUNNING)
    assert {m.template for m in living} == {large}
    assert {m.name for m in living} == {m["name"] for m in outputs["machines"]}


async def test_a_late_caller_is_refused(service: Sutler) -> None:
    await apply(service, applying(1, fence=5))
    with pytest.raises(Conflict) as late:
        await apply(service, applying(3, fence=4))
    assert late.value.reason == "LEASE_LOST"
    with pytest.raises(Conflict):
        await delete(service, fence=4)
    assert len(await machines(service, RUNNING)) == 1


async def test_refusals(service: Sutler) -> None:
    with pytest.raises(Invalid) as wrong:
        await apply(service, applying("many"))
    assert wrong.value.violations[0].field == "properties.count"
    with pytest.raises(NotFound):
        await apply(service, applying(1, template="templates/none"))
    with pytest.raises(Exhausted) as limit:
        await apply(service, applying(200))
    assert limit.value.reason == "MACHINE_LIMIT_EXCEEDED"
    with pytest.raises(Unimplemented):
        async for _ in service.handler.InvokeAction(
            pb.ResourceHandlerInvokeActionRequest(
                context=context(), idempotency_key=new_id(), resource=resource(), action="restart"
            )
        ):
            pass
    assert await machines(service) == []


async def test_a_template_that_cannot_run_fails_with_its_reason(service: Sutler) -> None:
    broken = await add_template(service, "broken", command=["no-such-program"])
    with pytest.raises(Exception) as failed:
        await apply(service, applying(2, template=broken))
    assert getattr(failed.value, "reason", "") == "PROVIDER_REFUSED"


async def test_validation_says_what_is_wrong_and_what_would_be_done(service: Sutler) -> None:
    async def validate(change: "pb.ValidateRequest.Change.ValueType", desired: Resource) -> pb.ValidateResponse:
        request = pb.ValidateRequest(context=context(), change=change, desired=desired)
        if change == pb.ValidateRequest.CHANGE_DELETE:
            request = pb.ValidateRequest(context=context(), change=change, previous=desired)
        answer: pb.ValidateResponse = await service.handler.Validate(request)
        return answer

    create, remove = pb.ValidateRequest.CHANGE_CREATE, pb.ValidateRequest.CHANGE_DELETE
    fine = await validate(create, resource(3))
    assert (list(fine.violations), [step.count for step in fine.plan]) == ([], [3])
    wrong = await validate(create, resource(-1, template="small"))
    assert {v.field for v in wrong.violations} == {"properties.count", "properties.template"}
    missing = await validate(create, resource(1, template="templates/none"))
    assert [v.field for v in missing.violations] == ["properties.template"]
    await apply(service, applying(2))
    assert [step.count for step in (await validate(remove, resource())).plan] == [2]


async def given_up(service: Sutler, count: int, fence: int) -> int:
    """Asks for machines, goes away when the first are there, and returns how many run in the end."""
    call = service.handler.Apply(applying(count, fence=fence))
    async for answer in call:
        if answer.progress.progress_percent:
            break
    await call.aclose()  # type: ignore[attr-defined]

    async def at_rest() -> bool:
        requests = await service.providers.ListMachineRequests(
            provider_pb2.ListMachineRequestsRequest(filter="NOT end_time:*")
        )
        return not requests.machine_requests

    await wait_until(at_rest)
    return len(await machines(service, RUNNING))


async def test_a_caller_that_goes_away_stops_what_it_asked_for(service: Sutler) -> None:
    left = count = 100
    fence = 0
    while left == count and fence < 10:  # where the machine is busy, all may run before the caller is gone
        fence += 2
        await delete(service, fence - 1)
        left = await given_up(service, count, fence)
    assert 0 < left < count
    outputs, _ = await apply(service, applying(left + 1, fence=fence + 1))
    assert len(outputs["machines"]) == left + 1
    await delete(service, fence + 2)
    assert await machines(service, "NOT (state = STATE_TERMINATED OR state = STATE_FAILED)") == []


@pytest_asyncio.fixture
async def process(place: Path, tmp_path: Path) -> AsyncIterator[ServiceProcess]:
    with ServiceProcess(
        "services.provider",
        "SUTLER_PROVIDER_",
        folder=tmp_path,
        data=f"sqlite:///{tmp_path}/provider.db",
        machines=place,
        drain_pause_seconds=0,
    ) as running:
        await running.serving()
        yield running


@pytest.mark.timeout(180)
async def test_a_caller_repeats_over_kills_of_the_service(process: ServiceProcess, place: Path) -> None:
    key, outputs = new_id(), None
    async with connect(process.address, attempts=1) as client:
        await set_up(client)
        for attempt in (1, 2):
            killer = asyncio.create_task(kill_soon(process, 0.04 * attempt))
            try:
                outputs, _ = await apply(client, applying(8, key, fence=attempt, attempt=attempt))
            except Unavailable:
                outputs = None
            await killer
        outputs, _ = await apply(client, applying(8, key, fence=9, attempt=9))
        assert len(outputs["machines"]) == 8
        assert {m["pid"] for m in outputs["machines"]} == set(users(place))
        assert {pid_of(m) for m in await machines(client, RUNNING)} == set(users(place))
        await delete(client, fence=10)
        assert users(place) == []


async def kill_soon(process: ServiceProcess, seconds: float) -> None:
    await asyncio.sleep(seconds)
    process.kill()
    process.start()
    await process.serving()
