"""Which price holds for a machine, and at which time."""

from typing import Any

import pytest

from services.provider.cost.money import Money
from services.provider.cost.prices import Edition, PriceRow, PriceType, Wanted
from services.provider.cost.tariffs import Tariff

ON_DEMAND, SPOT = PriceType.ON_DEMAND, PriceType.SPOT


def row(units: int, **more: Any) -> PriceRow:
    return PriceRow(machine_type="m", hourly_price=Money("EUR", units), **more)


def edition(start: float, *rows: PriceRow, end: float | None = None, dated: float | None = None) -> Edition:
    return Edition(table="t", start=start, end=end, rows=rows, default_time=start if dated is None else dated)


def at(tariff: Tariff, time: float, region: str = "eu", zone: str = "a", price_type: PriceType = ON_DEMAND) -> object:
    found = tariff.price(Wanted("m", region, zone, price_type), time)
    return found and found.hourly.units


def test_the_narrowest_row_holds() -> None:
    tariff = Tariff([edition(0, row(9), row(8, region="eu"), row(7, region="eu", zone="a"), row(1, price_type=SPOT))])
    assert at(tariff, 1, zone="a") == 7
    assert at(tariff, 1, zone="b") == 8
    assert at(tariff, 1, region="us") == 9
    assert at(tariff, 1, region="us", price_type=SPOT) == 1


def test_of_equally_narrow_rows_the_latest_in_effect_holds() -> None:
    tariff = Tariff([edition(0, row(1), row(2, effective_time=10.0), row(3, effective_time=20.0))])
    assert [at(tariff, time) for time in (0, 9.9, 10, 19, 20, 1e9)] == [1, 1, 2, 2, 3, 3]


def test_cost_that_has_come_up_keeps_its_price() -> None:
    tariff = Tariff([edition(0, row(1), end=100), edition(100, row(2), dated=0)])
    assert (at(tariff, 99), at(tariff, 100)) == (1, 2)


def test_what_a_deleted_table_priced_is_unpriced_from_then_on() -> None:
    tariff = Tariff([edition(0, row(1), end=100)])
    assert (at(tariff, 99), at(tariff, 100)) == (1, None)


def test_time_without_a_price_gets_the_first_that_is_dated_back() -> None:
    tariff = Tariff([edition(50, row(1), dated=20, end=60), edition(60, row(2), dated=0)])
    assert [at(tariff, time) for time in (0, 19, 20, 59, 60)] == [2, 2, 1, 1, 2]


@pytest.mark.parametrize("zone", ["", "b"])
def test_the_price_of_a_zone_holds_there_alone(zone: str) -> None:
    assert at(Tariff([edition(0, row(1, zone="a"))]), 1, zone=zone) is None
