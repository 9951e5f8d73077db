"""Leases of real machines: given, extended, ended; also while no service runs."""

from typing import Any

import pytest
from sutler.client import Sutler
from sutler.errors import Conflict, FailedPrecondition, Invalid, NotFound, SutlerError
from sutler.operations import records
from sutler.provider.v1 import provider_pb2 as pb
from sutler.store import open_database
from sutler.testing import is_gone, wait_until
from sutler.wire import seconds

from services.provider.adapters.stored import COMPONENT, MIGRATIONS
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

ENDED = pb.Machine.STATE_TERMINATED


async def extend(client: Sutler, name: str, length: float | None = None, **more: Any) -> pb.Machine:
    request = pb.ExtendLeaseRequest(name=name, **more)
    if length is not None:
        request.lease_duration.FromMicroseconds(round(length * 1e6))
    extended: pb.Machine = await client.providers.ExtendLease(request)
    return extended


async def ended(client: Sutler, name: str) -> pb.Machine:
    async def there() -> pb.Machine | None:
        found = await machine(client, name)
        return found if found.state == ENDED else None

    found = await wait_until(there, 30)
    assert found is not None
    return found


async def returns(client: Sutler) -> list[pb.MachineRequest]:
    answer = await client.providers.ListMachineRequests(pb.ListMachineRequestsRequest(filter="kind = KIND_RETURN"))
    return list(answer.machine_requests)


async def test_a_machine_whose_lease_ends_is_returned(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        request = await ask(client, 2, lease_duration={"seconds": 1})
        assert request.lease_duration.seconds == 1
        found = [await machine(client, name) for name in request.machines]
        for one in found:
            assert seconds(one.lease_expire_time) == pytest.approx(seconds(one.ready_time) + 1)
        for one in found:
            last = await ended(client, one.name)
            assert last.state_reason
            assert seconds(last.end_time) >= seconds(one.lease_expire_time)
            assert is_gone(pid_of(one))
        for back in await returns(client):
            assert back.state == pb.MachineRequest.STATE_COMPLETE
            assert back.transitions[0].reason == "the lease has ended"
        assert sum(back.count for back in await returns(client)) == 2


async def test_a_lease_that_ends_while_no_service_runs(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        request = await ask(client, 1, lease_duration={"seconds": 2})
        living = await machine(client, request.machines[0])
    assert not is_gone(pid_of(living))
    async with serving(data=url) as client:
        await ended(client, living.name)
        assert is_gone(pid_of(living))
        assert [back.count for back in await returns(client)] == [1]


async def test_of_two_services_one_returns_it(serving: Serve, url: str) -> None:
    async with serving(data=url) as one, serving(data=url) as two:
        await set_up(one)
        request = await ask(two, 3, lease_duration={"seconds": 1})
        for name in request.machines:
            await ended(one, name)
        assert sum(back.count for back in await returns(two)) == 3


async def test_extending(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        request = await ask(client, 1, lease_duration={"seconds": 60})
        name = request.machines[0]
        first = await machine(client, name)
        assert (await extend(client, name, 1)).lease_expire_time == first.lease_expire_time, "never earlier"
        key = new_id()
        later = await extend(client, name, 1000.5, request_id=key, etag=first.etag)
        assert seconds(later.lease_expire_time) == pytest.approx(seconds(later.update_time) + 1000.5, abs=1e-3)
        assert await extend(client, name, 1000.5, request_id=key, etag=first.etag) == later, "once"
        with pytest.raises(Invalid) as reused:
            await extend(client, name, 1001, request_id=key)
        assert reused.value.reason == "REQUEST_ID_REUSED"
        with pytest.raises(Conflict) as changed:
            await extend(client, name, 2000, etag=first.etag)
        assert changed.value.reason == "ETAG_MISMATCH"
        before = later.lease_expire_time.ToJsonString()
        assert await machines(client, f'lease_expire_time >= "{before}"') == [later]
    async with serving(data=url) as client:
        assert (await machine(client, name)).lease_expire_time == later.lease_expire_time


async def test_refusals(service: Sutler) -> None:
    template = pb.Template(provider=LAB, lease_duration={"seconds": 60}, max_lease_duration={"seconds": 120})
    await service.providers.CreateTemplate(pb.CreateTemplateRequest(template_id="leased", template=template))
    request = await ask(service, 1, "templates/leased")
    name = request.machines[0]
    assert request.lease_duration.seconds == 60
    with pytest.raises(Invalid) as asked:
        await ask(service, 1, "templates/leased", lease_duration={"seconds": 121})
    with pytest.raises(Invalid) as extended:
        await extend(service, name, 120.001)
    for error in (asked.value, extended.value):
        assert (error.reason, error.metadata["max_lease_duration"]) == ("LEASE_TOO_LONG", "120s")
        assert [violation.field for violation in error.violations] == ["lease_duration"]
    for length in (0, 0.999, -5, 3_155_760_001):
        with pytest.raises(Invalid) as bad:
            await extend(service, name, length)
        assert (bad.value.reason, bad.value.violations[0].field) == ("FIELD_INVALID", "lease_duration")
    unleased = (await ask(service, 1)).machines[0]
    await give_back(service, names=[name])
    wrong: list[tuple[str, type[SutlerError], str]] = [
        (unleased, FailedPrecondition, "LEASE_MISSING"),
        (name, FailedPrecondition, "STATE_INVALID"),
        ("machines/none", NotFound, "NOT_FOUND"),
    ]
    for which, kind, reason in wrong:
        with pytest.raises(kind) as refused:
            await extend(service, which, 60)
        assert refused.value.reason == reason


async def test_the_longest_lease_that_there_is(service: Sutler) -> None:
    request = await ask(service, 1, lease_duration={"seconds": 3_155_760_000})
    found = await extend(service, request.machines[0])
    assert seconds(found.lease_expire_time) > seconds(found.ready_time) + 3e9


async def test_defaults_that_contradict_a_template(service: Sutler) -> None:
    defaults = pb.Template(max_lease_duration={"seconds": 30})
    provider = pb.Provider(type="process", template_defaults=defaults)
    await service.providers.CreateProvider(pb.CreateProviderRequest(provider_id="short", provider=provider))
    with pytest.raises(Invalid) as refused:
        await service.providers.CreateTemplate(
            pb.CreateTemplateRequest(
                template_id="long", template=pb.Template(provider="providers/short", lease_duration={"seconds": 31})
            )
        )
    assert refused.value.reason == "TEMPLATE_INVALID"
    assert refused.value.violations[0].field == "template.lease_duration"


async def test_a_database_of_before_is_brought_along(url: str) -> None:
    before = {records.COMPONENT: records.MIGRATIONS, COMPONENT: MIGRATIONS[:1]}
    async with open_database(url, name="provider", migrations=before):
        pass
    async with open_database(url, name="provider", migrations={**before, COMPONENT: MIGRATIONS}) as database:
        assert await database.read(lambda tx: tx.all("SELECT lease_time FROM machines")) == []
