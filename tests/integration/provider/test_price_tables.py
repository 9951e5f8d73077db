"""Price tables through a real channel: written, changed, refused, listed."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.money_pb2 import Money
from sutler.client import Sutler
from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, Invalid, NotFound
from sutler.provider.v1 import provider_pb2 as pb

from tests.integration.provider.conftest import LAB, Serve, new_id, set_up
from tests.integration.provider.prices import ON_DEMAND, SPOT, TABLE, add_prices, euros, row


async def test_a_table_lives_on_either_engine_and_over_a_restart(serving: Serve, url: str) -> None:
    async with serving(data=url) as client:
        await set_up(client)
        created = await add_prices(client, row(euros(1)), display_name="List")
        assert (created.name, created.rows[0].hourly_price) == (TABLE, euros(1))
    async with serving(data=url) as client:
        assert await client.providers.GetPriceTable(pb.GetPriceTableRequest(name=TABLE)) == created
        change = pb.PriceTable(name=TABLE, etag=created.etag, rows=[row(euros(2))])
        mask = FieldMask(paths=["rows"])
        request = pb.UpdatePriceTableRequest(price_table=change, update_mask=mask, validate_only=True)
        checked = await client.providers.UpdatePriceTable(request)
        assert (checked.rows[0].hourly_price, checked.etag) == (euros(2), created.etag)
        request.validate_only = False
        changed = await client.providers.UpdatePriceTable(request)
        assert (changed.display_name, changed.uid) == ("List", created.uid)
        assert changed.etag != created.etag
        with pytest.raises(Conflict) as stale:
            await client.providers.UpdatePriceTable(request)
        assert stale.value.reason == "ETAG_MISMATCH"
        with pytest.raises(Conflict):
            await client.providers.DeletePriceTable(pb.DeletePriceTableRequest(name=TABLE, etag=created.etag))
        await client.providers.DeletePriceTable(pb.DeletePriceTableRequest(name=TABLE, etag=changed.etag))
        with pytest.raises(NotFound):
            await client.providers.GetPriceTable(pb.GetPriceTableRequest(name=TABLE))
        await client.providers.DeletePriceTable(pb.DeletePriceTableRequest(name=TABLE, allow_missing=True))


async def test_a_repeat_answers_what_the_first_answered(service: Sutler) -> None:
    table = pb.PriceTable(provider=LAB, rows=[row(euros(1))])
    request = pb.CreatePriceTableRequest(price_table_id="lab", price_table=table, request_id=new_id())
    first = await service.providers.CreatePriceTable(request)
    assert await service.providers.CreatePriceTable(request) == first
    with pytest.raises(AlreadyExists):
        await service.providers.CreatePriceTable(
            pb.CreatePriceTableRequest(price_table_id="LAB", price_table=pb.PriceTable(provider=LAB))
        )
    request.price_table.rows[0].hourly_price.units = 2
    with pytest.raises(Invalid) as reused:
        await service.providers.CreatePriceTable(request)
    assert reused.value.reason == "REQUEST_ID_REUSED"


async def test_validate_only_stores_nothing(service: Sutler) -> None:
    table = pb.PriceTable(provider=LAB, rows=[row(euros(1))])
    request = pb.CreatePriceTableRequest(price_table_id="lab", price_table=table, validate_only=True)
    assert (await service.providers.CreatePriceTable(request)).rows == table.rows
    assert not (await service.providers.ListPriceTables(pb.ListPriceTablesRequest())).price_tables


async def test_tables_are_listed_in_pages_and_filtered(service: Sutler) -> None:
    for number in range(3):
        await add_prices(service, row(euros(1), f"type-{number}"), name=f"t{number}")
    request = pb.ListPriceTablesRequest(page_size=2, order_by="name desc")
    first = await service.providers.ListPriceTables(request)
    request.page_token = first.next_page_token
    second = await service.providers.ListPriceTables(request)
    names = [table.name for page in (first, second) for table in page.price_tables]
    assert names == ["priceTables/t2", "priceTables/t1", "priceTables/t0"]
    assert not second.next_page_token
    request = pb.ListPriceTablesRequest(filter=f'provider = "{LAB}" AND name = "*1"')
    assert [t.name for t in (await service.providers.ListPriceTables(request)).price_tables] == ["priceTables/t1"]
    with pytest.raises(Invalid) as unknown:
        await service.providers.ListPriceTables(pb.ListPriceTablesRequest(filter="price > 1"))
    assert unknown.value.reason == "FILTER_INVALID"


@pytest.mark.parametrize(
    ("rows", "field", "cause"),
    [
        ([row(euros(1)), row(euros(2))], "price_table.rows[1]", "duplicate"),
        (
            [row(euros(1)), row(Money(currency_code="USD", units=1), "other")],
            "price_table.rows[1].hourly_price.currency_code",
            "currency",
        ),
        ([row(euros(1), region="eu"), row(euros(2), price_type=SPOT)], "price_table.rows[0]", "overlap"),
        ([row(euros(10**9))], "price_table.rows[0].hourly_price", "unusable"),
    ],
)
async def test_rows_that_contradict_each_other_are_refused(
    service: Sutler, rows: list[pb.PriceRow], field: str, cause: str
) -> None:
    with pytest.raises(Invalid) as refused:
        await add_prices(service, *rows)
    assert refused.value.reason == "PRICES_INVALID"
    assert refused.value.metadata["cause"] == cause
    assert [violation.field for violation in refused.value.violations] == [field]
    assert refused.value.metadata["field"] == field


async def test_a_row_for_both_settles_an_overlap(service: Sutler) -> None:
    both = row(euros(3), region="eu", price_type=SPOT)
    await add_prices(service, row(euros(1), region="eu"), row(euros(2), price_type=SPOT), both)


async def test_another_table_of_the_provider_counts_too(service: Sutler) -> None:
    await add_prices(service, row(euros(1)))
    for rows, cause in (
        ([row(euros(2))], "duplicate"),
        ([row(Money(currency_code="USD", units=1), "other")], "currency"),
    ):
        with pytest.raises(Invalid) as refused:
            await add_prices(service, *rows, name="more")
        assert refused.value.metadata["cause"] == cause
    await add_prices(service, row(euros(2), "other"), name="more")


@pytest.mark.parametrize(("field", "value"), [("provider", "providers/none"), ("source", pb.PriceTable.SOURCE_FILE)])
async def test_unknown_providers_and_sources_are_refused(service: Sutler, field: str, value: object) -> None:
    with pytest.raises(Invalid) as refused:
        await add_prices(service, row(euros(1)), **{field: value})
    assert (refused.value.reason, refused.value.metadata["cause"]) == ("PRICES_INVALID", field)


async def test_bad_fields_are_refused_with_their_place(service: Sutler) -> None:
    with pytest.raises(Invalid) as refused:
        await add_prices(service, row(euros(-1)), row(Money(currency_code="euro")), row(euros(1), price_type=3))
    fields = {violation.field for violation in refused.value.violations}
    assert fields == {
        "price_table.rows[0].hourly_price",
        "price_table.rows[1].hourly_price",
        "price_table.rows[2].price_type",
    }
    with pytest.raises(Invalid) as missing:
        await service.providers.CreatePriceTable(
            pb.CreatePriceTableRequest(price_table_id="x", price_table=pb.PriceTable())
        )
    assert missing.value.violations[0].field == "price_table.provider"


async def test_the_provider_of_a_table_stays(service: Sutler) -> None:
    await add_prices(service, row(euros(1), price_type=ON_DEMAND))
    with pytest.raises(Invalid) as immutable:
        await service.providers.UpdatePriceTable(
            pb.UpdatePriceTableRequest(price_table=pb.PriceTable(name=TABLE, provider="providers/other"))
        )
    assert immutable.value.reason == "FIELD_IMMUTABLE"
    await service.providers.DeleteTemplate(pb.DeleteTemplateRequest(name="templates/small"))
    with pytest.raises(FailedPrecondition) as used:
        await service.providers.DeleteProvider(pb.DeleteProviderRequest(name=LAB))
    assert (used.value.reason, used.value.metadata["user"]) == ("IN_USE", TABLE)
