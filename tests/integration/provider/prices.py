"""Price tables and usage, as a caller writes and reads them."""

from typing import Any

from google.type.money_pb2 import Money
from sutler.client import Sutler
from sutler.provider.v1 import provider_pb2 as pb

from tests.integration.provider.conftest import LAB

TABLE = "priceTables/lab"
ON_DEMAND, SPOT = pb.PRICE_TYPE_ON_DEMAND, pb.PRICE_TYPE_SPOT
BILLION = 1_000_000_000


def euros(units: int, nanos: int = 0) -> Money:
    return Money(currency_code="EUR", units=units, nanos=nanos)


def row(price: Money, machine_type: str = "process", **more: Any) -> pb.PriceRow:
    return pb.PriceRow(machine_type=machine_type, hourly_price=price, **more)


def total(amount: Money) -> int:
    return amount.units * BILLION + amount.nanos


async def add_prices(client: Sutler, *rows: pb.PriceRow, name: str = "lab", **more: Any) -> pb.PriceTable:
    table = pb.PriceTable(**{"provider": LAB, "rows": rows, **more})
    return await client.providers.CreatePriceTable(pb.CreatePriceTableRequest(price_table_id=name, price_table=table))


async def usage(client: Sutler, *dimensions: pb.UsageDimension, **more: Any) -> pb.GetUsageResponse:
    found: pb.GetUsageResponse = await client.providers.GetUsage(pb.GetUsageRequest(dimensions=dimensions, **more))
    return found


async def advice(client: Sutler, **more: Any) -> list[pb.Recommendation]:
    found = await client.providers.ListRecommendations(pb.ListRecommendationsRequest(**more))
    return list(found.recommendations)
