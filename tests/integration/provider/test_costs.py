"""What real machines cost: before, while they run, and afterwards."""

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from sutler.auth import make_token
from sutler.client import Sutler, connect
from sutler.errors import FailedPrecondition, Invalid, OutOfRange
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import wait_until

from tests.integration.provider.conftest import (
    LAB,
    SMALL,
    Serve,
    ask,
    begin,
    database,
    give_back,
    machine,
    machines,
    set_up,
)
from tests.integration.provider.prices import SPOT, TABLE, add_prices, advice, euros, row, total, usage
from tests.integration.provider.test_watches import collect, first

BY_TEMPLATE, BY_PROVIDER = pb.USAGE_DIMENSION_TEMPLATE, pb.USAGE_DIMENSION_PROVIDER
HOUR_NANOS = 3600 * 10**9


def nanos(time: Timestamp | Duration) -> int:
    return time.seconds * 10**9 + time.nanos


async def planned(client: Sutler, count: int) -> pb.MachineRequest:
    operation = await begin(client, count, validate_only=True)
    request = pb.MachineRequest()
    assert operation.response.Unpack(request)
    return request


class TestBefore:
    async def test_a_plan_tells_its_price(self, service: Sutler) -> None:
        assert not (await planned(service, 3)).HasField("hourly_price")
        await add_prices(service, row(euros(0, 20_000_000)))
        plan = await planned(service, 3)
        assert (plan.hourly_price, plan.reference_hourly_price) == (euros(0, 60_000_000), euros(0, 60_000_000))
        assert plan.candidates[0].hourly_price == euros(0, 20_000_000)
        assert not await machines(service)
        assert (await ask(service, 2)).hourly_price == euros(0, 40_000_000)

    async def test_a_template_can_limit_it(self, service: Sutler) -> None:
        template = pb.Template(name=SMALL, max_price=euros(0, 50_000_000), max_total_price=euros(0, 90_000_000))
        await service.providers.UpdateTemplate(pb.UpdateTemplateRequest(template=template))
        with pytest.raises(FailedPrecondition) as unknown:
            await ask(service)
        assert unknown.value.reason == "PRICE_UNKNOWN"
        assert unknown.value.metadata["machine_type"] == "process"
        await add_prices(service, row(euros(0, 40_000_000)))
        with pytest.raises(FailedPrecondition) as high:
            await ask(service, 3)
        assert high.value.reason == "PRICE_TOO_HIGH"
        assert (high.value.metadata["max_price"], high.value.metadata["hourly_price"]) == ("EUR 0.09", "EUR 0.12")
        assert (await ask(service, 2)).fulfilled == 2


async def test_usage_is_exact_on_either_engine_and_over_a_restart(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        await add_prices(client, row(euros(7, 123_456_789)))
        await ask(client, 2)
        (first, second) = [m.name for m in await machines(client)]
        await give_back(client, names=[first])
        running = await usage(client, BY_TEMPLATE, BY_PROVIDER)
        (told,) = running.rows
        assert (told.template, told.provider) == (SMALL, LAB)
        assert (told.machine_count, told.peak_machine_count, told.started_machine_count) == (1, 2, 2)
    async with serving(data=url) as client:
        assert nanos((await usage(client)).rows[0].machine_duration) > nanos(told.machine_duration)
        await give_back(client, names=[second])
        (row_,) = (answer := await usage(client)).rows
        ended = await machines(client)
        ran = [nanos(m.end_time) - nanos(m.ready_time) for m in ended]
        assert nanos(row_.machine_duration) == sum(ran)
        assert nanos(row_.unpriced_machine_duration) == 0
        costs = [7_123_456_789 * length // HOUR_NANOS for length in ran]
        assert [total(m.cost) for m in ended] == costs
        assert total(row_.cost) == total(row_.reference_cost) == sum(costs)
        assert list(answer.total_costs) == [row_.cost]
        assert (row_.machine_count, row_.peak_machine_count) == (0, 2)


async def test_what_has_no_price_is_told_and_is_not_free(service: Sutler) -> None:
    await ask(service)
    (answer,) = (await usage(service)).rows
    assert not answer.HasField("cost")
    assert nanos(answer.unpriced_machine_duration) == nanos(answer.machine_duration) > 0
    (found,) = await machines(service)
    assert not found.HasField("cost")
    assert not found.HasField("hourly_price")


async def test_cost_that_has_come_up_keeps_its_price(service: Sutler) -> None:
    await add_prices(service, row(euros(3600)))
    await ask(service)
    change = pb.PriceTable(name=TABLE, rows=[row(euros(36_000))])
    changed = await service.providers.UpdatePriceTable(
        pb.UpdatePriceTableRequest(price_table=change, update_mask=FieldMask(paths=["rows"]))
    )
    (found,) = await machines(service)
    assert found.hourly_price == euros(36_000)
    await service.providers.DeletePriceTable(pb.DeletePriceTableRequest(name=TABLE))
    await give_back(service, all=True)
    (answer,) = (await usage(service)).rows
    (ended,) = await machines(service)
    at_first = nanos(changed.update_time) - nanos(ended.ready_time)
    priced = nanos(answer.machine_duration) - nanos(answer.unpriced_machine_duration)
    assert total(answer.cost) == pytest.approx(at_first + 10 * (priced - at_first), abs=20_000)
    assert nanos(answer.unpriced_machine_duration) > 0
    assert not ended.HasField("cost")


async def test_an_extended_lease_tells_the_price_too(service: Sutler) -> None:
    await add_prices(service, row(euros(1)))
    request = await ask(service, 1, lease_duration={"seconds": 600})
    extension = pb.ExtendLeaseRequest(name=request.machines[0], lease_duration=Duration(seconds=1200))
    assert (await service.providers.ExtendLease(extension)).hourly_price == euros(1)


async def test_a_stopped_machine_lives_and_costs_nothing(service: Sutler) -> None:
    await add_prices(service, row(euros(3600)))
    await ask(service)
    (found,) = await machines(service)
    await service.wait(await service.providers.StopMachines(pb.StopMachinesRequest(names=[found.name])))
    first = (await usage(service)).rows[0]
    await asyncio.sleep(0.05)
    second = (await usage(service)).rows[0]
    assert (first.cost, first.machine_duration) == (second.cost, second.machine_duration)
    assert second.machine_count == 1
    assert (await machine(service, found.name)).cost == second.cost
    await service.wait(await service.providers.StartMachines(pb.StartMachinesRequest(names=[found.name])))
    third = (await usage(service)).rows[0]
    assert total(third.cost) > total(second.cost)
    assert (third.started_machine_count, third.peak_machine_count) == (1, 1)


async def test_usage_stays_when_machines_are_forgotten(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        await add_prices(client, row(euros(3600)))
        await ask(client)
        await give_back(client, all=True)
    async with serving(data=url, keep_days=1e-9) as client:

        async def none_left() -> bool:
            return not await machines(client)

        await wait_until(none_left)
        (answer,) = (await usage(client, BY_TEMPLATE, filter=f'provider = "{LAB}"')).rows
        assert answer.template == SMALL
        assert total(answer.cost) > 0
        assert not (await usage(client, filter='provider = "providers/none"')).rows


async def test_parts_and_pages_add_up(service: Sutler) -> None:
    await add_prices(service, row(euros(3600)))
    for name in ("one", "two", "three"):
        await ask(service, tags={"team": name})
    await give_back(service, all=True)
    pages: list[pb.UsageRow] = []
    request = pb.GetUsageRequest(dimensions=[pb.USAGE_DIMENSION_ZONE], page_size=1, order_by="cost desc")
    request.interval.seconds = 60
    while True:
        answer = await service.providers.GetUsage(request)
        pages += answer.rows
        request.page_token = answer.next_page_token
        if not answer.next_page_token:
            break
    assert sum(total(part.cost) for part in pages) == total(answer.total_costs[0])
    assert answer.total_costs[0] == (await usage(service)).rows[0].cost
    assert (await usage(service, filter='tags.team = "two"')).rows[0].started_machine_count == 1


@pytest.mark.parametrize(
    ("question", "field", "reason"),
    [
        (pb.GetUsageRequest(filter="nothing = 1"), "filter", "FILTER_INVALID"),
        (pb.GetUsageRequest(order_by="nothing"), "order_by", "ORDER_BY_INVALID"),
        (pb.GetUsageRequest(page_token="x"), "page_token", "PAGE_TOKEN_INVALID"),
        (pb.GetUsageRequest(start_time=Timestamp(seconds=4_000_000_000)), "start_time", ""),
        (pb.GetUsageRequest(dimensions=[0]), "dimensions[0]", ""),
        (pb.GetUsageRequest(interval=Duration(seconds=1)), "interval", ""),
    ],
)
async def test_a_wrong_question_is_refused(
    service: Sutler, question: pb.GetUsageRequest, field: str, reason: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await service.providers.GetUsage(question)
    assert field in {violation.field for violation in refused.value.violations}
    assert refused.value.reason == (reason or "FIELD_INVALID")


async def test_usage_so_long_ago_is_not_kept(service: Sutler) -> None:
    with pytest.raises(OutOfRange) as gone:
        await usage(service, start_time=Timestamp(seconds=1))
    assert gone.value.reason == "USAGE_DISCARDED"
    assert gone.value.metadata["oldest"].endswith("Z")


async def test_other_tenants_count_only_for_those_who_may_act_for_them(serving: Serve, free_port: int) -> None:
    secret = "s" * 32
    everything = ("provider.*.*",)
    no_acting = ("provider.usage.get",)
    async with serving(port=free_port, auth_secret=secret) as _:
        address = f"127.0.0.1:{free_port}"

        def client(tenant: str, permissions: tuple[str, ...]) -> AbstractAsyncContextManager[Sutler]:
            return connect(address, token=make_token(secret, "user:anna", tenant=tenant, permissions=permissions))

        for tenant in ("acme", "umbrella"):
            async with client(tenant, everything) as admin:
                await set_up(admin)
                await ask(admin)
        async with client("acme", everything) as admin, client("acme", no_acting) as reader:
            by_tenant = [pb.USAGE_DIMENSION_TENANT]
            assert [row.tenant for row in (await usage(admin, *by_tenant)).rows] == ["acme", "umbrella"]
            assert [row.tenant for row in (await usage(reader, *by_tenant)).rows] == ["acme"]


async def test_a_watch_tells_what_get_tells(service: Sutler) -> None:
    await add_prices(service, row(euros(3600)))
    await ask(service)
    (found,) = await machines(service)
    watch = service.providers.WatchMachines(pb.WatchMachinesRequest(filter="state = STATE_STOPPED"))
    token = await first(watch)
    await service.wait(await service.providers.StopMachines(pb.StopMachinesRequest(names=[found.name])))
    stopped = await machine(service, found.name)
    resumed = pb.WatchMachinesRequest(filter="state = STATE_STOPPED", resume_token=token)
    changes, _ = await collect(service.providers.WatchMachines(resumed), bool)
    assert changes[0].machine == stopped
    assert stopped.hourly_price == euros(3600)
    assert total(stopped.cost) > 0


async def test_replicas_know_the_same_prices(serving: Serve, place: Path, tmp_path: Path) -> None:
    with database("postgresql", tmp_path) as url:
        async with serving(data=url) as first, serving(data=url) as second:
            await set_up(first)
            assert not (await planned(second, 1)).HasField("hourly_price")
            await add_prices(first, row(euros(1)))
            assert (await planned(second, 1)).hourly_price == euros(1)
            change = pb.PriceTable(name=TABLE, rows=[row(euros(2))])
            await second.providers.UpdatePriceTable(pb.UpdatePriceTableRequest(price_table=change))
            assert (await planned(first, 1)).hourly_price == euros(2)
            await first.providers.DeletePriceTable(pb.DeletePriceTableRequest(name=TABLE))
            assert not (await planned(second, 1)).HasField("hourly_price")


class TestAdvice:
    async def test_cheaper_types_and_spot_prices_the_largest_saving_first(self, service: Sutler) -> None:
        await add_prices(
            service,
            row(euros(2), vcpus=2, memory_bytes=2**30, price_type=pb.PRICE_TYPE_ON_DEMAND),
            row(euros(0, 500_000_000), price_type=SPOT),
            row(euros(1), "leaner", vcpus=2, memory_bytes=2**31),
            row(euros(0, 1), "tiny", vcpus=1, memory_bytes=2**30),
        )
        await ask(service, 2)
        spot, cheaper = await advice(service)
        assert (spot.kind, cheaper.kind) == (pb.Recommendation.KIND_SPOT_PRICE, pb.Recommendation.KIND_CHEAPER_TYPE)
        assert spot.monthly_saving == euros(2 * 720 * 3 // 2)
        assert (cheaper.proposed_machine_type, cheaper.monthly_saving) == ("leaner", euros(2 * 720))
        assert (cheaper.hourly_price, cheaper.proposed_hourly_price) == (euros(2), euros(1))
        assert cheaper.machine_count == len(cheaper.machines) == 2
        filtered = await advice(service, filter="kind = KIND_CHEAPER_TYPE AND monthly_saving.units > 100")
        assert filtered == [cheaper]
        assert await advice(service, order_by="monthly_saving") == [cheaper, spot]
        with pytest.raises(Invalid):
            await advice(service, order_by="nothing")

    async def test_another_provider(self, service: Sutler) -> None:
        await service.providers.CreateProvider(
            pb.CreateProviderRequest(provider_id="annex", provider=pb.Provider(type="process"))
        )
        await add_prices(service, row(euros(2)))
        await add_prices(service, row(euros(1)), name="annex", provider="providers/annex")
        await ask(service)
        (found,) = await advice(service)
        assert (found.kind, found.proposed_provider) == (pb.Recommendation.KIND_CHEAPER_PLACE, "providers/annex")

    async def test_missing_prices_and_stopped_machines(self, serving: Serve, url: str) -> None:
        async with serving(data=url, stopped_hours=0) as client:
            await set_up(client)
            await ask(client, 2)
            stopped = (await machines(client))[0].name
            await client.wait(await client.providers.StopMachines(pb.StopMachinesRequest(names=[stopped])))
            idle, stale = sorted(await advice(client), key=lambda a: a.kind)
            assert (idle.kind, list(idle.machines)) == (pb.Recommendation.KIND_STOPPED_MACHINE, [stopped])
            assert stale.kind == pb.Recommendation.KIND_STALE_PRICES
            assert not stale.HasField("monthly_saving")
