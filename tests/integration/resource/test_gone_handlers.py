"""Handlers that do not answer any more: a delete says so and what helps, and with force nothing stays for ever."""

from datetime import UTC, datetime, timedelta

import pytest
from google.longrunning.operations_pb2 import Operation
from sutler.errors import Code, NotFound
from sutler.resource.v1 import resource_pb2 as pb
from sutler.status import from_status

from tests.integration.resource.conftest import Tenant, everywhere, until
from tests.integration.resource.stacking import ended
from tests.integration.resource.test_lost_keys import reason

MACHINES = "Custom.Org/machines"
DISKS = "Custom.Org/machines/disks"
NOWHERE = "127.0.0.1:1"


async def answers_at(tenant: Tenant, address: str, type_id: str = "Custom.Org.machines", **fields: object) -> None:
    """Has the handler of the type be at another address."""
    type = pb.ResourceType(name=f"resourceTypes/{type_id}")
    type.handler.remote.address = address
    type.handler.min_backoff.FromMilliseconds(20)
    type.handler.max_backoff.FromMilliseconds(50)
    for name, value in fields.items():
        setattr(type.handler, name, value)
    await tenant.s.resources.UpdateResourceType(pb.UpdateResourceTypeRequest(resource_type=type))


async def deleted(tenant: Tenant, name: str, **fields: object) -> Operation:
    return await ended(tenant, await tenant.delete(name, **fields))


async def machine(tenant: Tenant, **fields: object) -> pb.Resource:
    group = await tenant.group()
    return await tenant.made(group, "a", await tenant.machine_type(), **fields)


async def with_disks(tenant: Tenant, *disks: str, **properties: object) -> tuple[pb.Resource, list[pb.Resource]]:
    """Makes a machine, and disks below it, which another type has."""
    made = await machine(tenant)
    await tenant.type("Custom.Org.machines.disks", address=tenant.server.handler)
    return made, [await tenant.made(made.name, id, DISKS, properties or None) for id in disks]


async def until_called(tenant: Tenant, method: str, name: str) -> None:
    async def called() -> bool:
        return bool(tenant.calls(method, name))

    await until(called)


async def why(tenant: Tenant, name: str) -> tuple[str, str]:
    """Returns for which reason a resource has failed, and which one was the cause."""
    found = await tenant.get(name)
    error = from_status(found.error)
    return error.reason, error.metadata.get("resource", "")


@everywhere
@pytest.mark.parametrize("below", [False, True])
async def test_what_it_has_made_goes_with_force_after_a_delete_has_failed(tenant: Tenant, below: bool) -> None:
    made = await machine(tenant)
    await answers_at(tenant, NOWHERE, max_attempts=2)
    target = "subscriptions/shop" if below else made.name
    failed = await deleted(tenant, target, force=True)
    assert (failed.error.code, reason(failed)) == (Code.UNAVAILABLE, "HANDLER_UNREACHABLE")
    assert "force" in failed.error.message
    stored = await tenant.get(made.name)
    assert (stored.provisioning_state, stored.state_reason) == (pb.Resource.STATE_FAILED, "HANDLER_UNREACHABLE")
    if not below:
        assert reason(await deleted(tenant, target)) == "HANDLER_UNREACHABLE"
    assert (await deleted(tenant, target, force=True)).HasField("response")
    with pytest.raises(NotFound):
        await tenant.get(made.name)
    told = [revision for revision in await tenant.revisions(made.name) if revision.before.findings]
    assert [found.source for found in told[0].before.findings] == ["resourceTypes/Custom.Org.machines"]
    assert tenant.calls("Delete", made.name) == []


async def test_one_that_is_back_is_asked(tenant: Tenant) -> None:
    made = await machine(tenant)
    await answers_at(tenant, NOWHERE, max_attempts=1)
    assert reason(await deleted(tenant, made.name)) == "HANDLER_UNREACHABLE"
    await answers_at(tenant, tenant.server.handler, max_attempts=1)
    assert (await deleted(tenant, made.name, force=True)).HasField("response")
    assert len(tenant.calls("Delete", made.name)) == 1


async def test_one_that_refuses_is_not_passed_over(tenant: Tenant) -> None:
    made = await machine(tenant, properties={"end": "final"})
    for _ in range(2):
        assert reason(await deleted(tenant, made.name, force=True)) == "HANDLER_FAILED"
    assert len(tenant.calls("Delete", made.name)) == 2


async def test_time_that_is_over_says_so_too(tenant: Tenant) -> None:
    made = await machine(tenant)
    await answers_at(tenant, NOWHERE)
    handler = (
        await tenant.s.resources.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.machines"))
    ).handler
    handler.timeout.FromSeconds(1)
    type = pb.ResourceType(name="resourceTypes/Custom.Org.machines", handler=handler)
    await tenant.s.resources.UpdateResourceType(pb.UpdateResourceTypeRequest(resource_type=type))
    assert reason(await deleted(tenant, made.name)) == "HANDLER_UNREACHABLE"


async def test_who_does_not_want_to_wait_abandons(tenant: Tenant) -> None:
    made = await machine(tenant)
    await answers_at(tenant, NOWHERE)
    waiting = await tenant.delete(made.name)
    await tenant.s.resources.AbandonOperation(pb.AbandonOperationRequest(name=waiting.name))
    assert (await deleted(tenant, made.name, force=True)).HasField("response")


async def test_nothing_goes_so_because_its_time_has_come(tenant: Tenant) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    made = await machine(tenant, expire_time=soon)
    await answers_at(tenant, NOWHERE, max_attempts=1)

    async def failed_twice() -> bool:
        ends = [r for r in await tenant.revisions(made.name) if r.after.state_reason == "HANDLER_UNREACHABLE"]
        return len(ends) >= 2

    await until(failed_twice, 20)
    assert (await tenant.get(made.name)).state_reason in ("HANDLER_UNREACHABLE", "")


@everywhere
async def test_what_is_above_is_not_passed_over_for_what_is_below(tenant: Tenant) -> None:
    made, (disk,) = await with_disks(tenant, "d")
    await answers_at(tenant, NOWHERE, "Custom.Org.machines.disks", max_attempts=1)
    assert reason(await deleted(tenant, made.name, force=True)) == "HANDLER_UNREACHABLE"
    await answers_at(tenant, NOWHERE, max_attempts=1)
    failed = await deleted(tenant, made.name, force=True)
    assert (reason(failed), await why(tenant, made.name)) == ("HANDLER_UNREACHABLE", ("HANDLER_UNREACHABLE", made.name))
    with pytest.raises(NotFound):
        await tenant.get(disk.name)
    assert (await deleted(tenant, made.name, force=True)).HasField("response")


async def test_all_that_were_unreachable_till_the_end_go_at_once(tenant: Tenant) -> None:
    made, disks = await with_disks(tenant, "a", "b")
    await answers_at(tenant, NOWHERE, "Custom.Org.machines.disks")
    type = await tenant.s.resources.GetResourceType(pb.GetResourceTypeRequest(name="resourceTypes/Custom.Org.machines"))
    type.handler.timeout.FromSeconds(1)
    await tenant.s.resources.UpdateResourceType(
        pb.UpdateResourceTypeRequest(resource_type=pb.ResourceType(name=type.name, handler=type.handler))
    )
    assert reason(await deleted(tenant, made.name, force=True)) == "HANDLER_UNREACHABLE"
    for disk in disks:
        assert await why(tenant, disk.name) == ("HANDLER_UNREACHABLE", disk.name)
    assert (await why(tenant, made.name))[1] != made.name
    assert (await deleted(tenant, made.name, force=True)).HasField("response")
    assert len(tenant.calls("Delete", made.name)) == 1


async def test_a_later_attempt_knows_what_goes_without_its_handler(tenant: Tenant) -> None:
    made, (disk,) = await with_disks(tenant, "d", end="transient")
    await answers_at(tenant, NOWHERE, "Custom.Org.machines.disks", max_attempts=1)
    assert reason(await deleted(tenant, made.name, force=True)) == "HANDLER_UNREACHABLE"
    await answers_at(tenant, tenant.server.handler, "Custom.Org.machines.disks", max_attempts=1000)
    deleting = await tenant.delete(made.name, force=True)

    async def called_twice() -> bool:
        return len(tenant.calls("Delete", disk.name)) >= 2

    await until(called_twice)
    await answers_at(tenant, NOWHERE, "Custom.Org.machines.disks")
    assert (await ended(tenant, deleting)).HasField("response")


async def test_an_abandoned_create_is_no_abandoned_delete(tenant: Tenant) -> None:
    group = await tenant.group()
    creating = await tenant.create(group, "a", await tenant.machine_type(), {"behave": "hang"})
    name = f"{group}/providers/{MACHINES}/a"
    await until_called(tenant, "Apply", name)
    await tenant.s.resources.AbandonOperation(pb.AbandonOperationRequest(name=creating.name))
    await answers_at(tenant, NOWHERE, max_attempts=1)
    assert reason(await deleted(tenant, name, force=True)) == "HANDLER_UNREACHABLE"
    assert (await deleted(tenant, name, force=True)).HasField("response")


async def test_an_abandoned_delete_says_nothing_of_what_is_above(tenant: Tenant) -> None:
    made, (disk,) = await with_disks(tenant, "d", end="hang")
    deleting = await tenant.delete(made.name, force=True)
    await until_called(tenant, "Delete", disk.name)
    await tenant.s.resources.AbandonOperation(pb.AbandonOperationRequest(name=deleting.name))
    assert await why(tenant, disk.name) == ("ABANDONED", disk.name)
    assert await why(tenant, made.name) == ("ABANDONED", "")
    for type_id in ("Custom.Org.machines.disks", "Custom.Org.machines"):
        await answers_at(tenant, NOWHERE, type_id, max_attempts=1)
    assert reason(await deleted(tenant, made.name, force=True)) == "HANDLER_UNREACHABLE"
    assert await why(tenant, made.name) == ("HANDLER_UNREACHABLE", made.name)


async def test_one_that_passes_on_an_error_is_not_passed_over(tenant: Tenant) -> None:
    made = await machine(tenant, properties={"end": "passed on"})
    await answers_at(tenant, tenant.server.handler, max_attempts=1)
    for _ in range(2):
        assert reason(await deleted(tenant, made.name, force=True)) == "HANDLER_FAILED"
    assert len(tenant.calls("Delete", made.name)) == 2
