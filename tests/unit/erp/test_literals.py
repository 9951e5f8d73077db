"""Numbers and times are taken in one strict form, by the drivers of every ERP."""

from __future__ import annotations

import math
from typing import Any

import pytest
from sutler.errors import Invalid

from services.erp.adapters.odoo.writing import Encoder as OdooEncoder
from services.erp.adapters.tryton.writing import Encoder as TrytonEncoder
from services.erp.schemas import FieldType
from tests.unit.erp.models import a_field, a_schema, schemas

MODEL = a_schema(
    "a.model",
    a_field("whole", FieldType.INTEGER),
    a_field("number", FieldType.FLOAT),
    a_field("amount", FieldType.MONETARY),
    a_field("day", FieldType.DATE),
    a_field("moment", FieldType.DATETIME),
)
WRONG: dict[str, list[Any]] = {
    "whole": ["--5", "1" * 30, "1_000", "٣", "", " 7", "1.5", True, 1.5, 2**63, math.nan, "9223372036854775808"],
    "number": ["nan", "inf", "-Infinity", "1_000", "1e999", "0x10", "", "1e", math.inf, math.nan, True, 10**30],
    "amount": ["nan", "sNaN", "Infinity", "1_000", "1e99999", "12,5", math.nan, False],
    "day": ["20261121", "2026-W47-6", "2026-02-31", "0900-01-01", "2026-11-21T00:00:00Z", "٢٠٢٦-01-01", 20261121],
    "moment": [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "0900-01-01T00:00:00Z",
        "2026-11-21T09:30:00",
        "20261121T093000Z",
        "2026-11-21",
        "2026-11-21T24:00:00Z",
        "2026-11-21T09:30:00+99:00",
        1795246896,
    ],
}
RIGHT: dict[str, list[Any]] = {
    "whole": ["-5", 7, "9223372036854775807", -(2**63)],
    "number": ["-1.5e3", 7, ".5", "7.", 1e300],
    "amount": ["12.50", 12.5, 7, "-0.01"],
    "day": ["2026-11-21", "9999-12-31"],
    "moment": ["2026-11-21T10:30:00+01:00", "2026-11-21t09:30:00.123456789z", "1000-01-01T00:00:00Z"],
}


async def encode(driver: str, name: str, value: Any) -> Any:
    async def find(model: str, external_id: str) -> int | None:
        return None

    encoder = OdooEncoder(schemas, find) if driver == "odoo" else TrytonEncoder(schemas)
    return (await encoder.encode(MODEL, {name: value}))[name]


@pytest.mark.parametrize("driver", ["odoo", "tryton"])
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
async def test_what_is_no_number_or_time_is_refused(driver: str, name: str, value: Any) -> None:
    if driver == "odoo" and name == "amount" and value == "1e99999":
        value = "1e999"  # a float there
    with pytest.raises(Invalid) as caught:
        await encode(driver, name, value)
    assert [(one.field, one.reason) for one in caught.value.violations] == [(f"values.{name}", "VALUE_INVALID")]


@pytest.mark.parametrize("driver", ["odoo", "tryton"])
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in RIGHT.items() for value in values])
async def test_what_is_one_is_taken(driver: str, name: str, value: Any) -> None:
    assert await encode(driver, name, value) is not None


async def test_times_come_to_the_erp_in_utc() -> None:
    assert await encode("odoo", "moment", "2026-11-21T10:30:00+01:00") == "2026-11-21 09:30:00"
    told = await encode("tryton", "moment", "2026-11-21T10:30:00.25+01:00")
    assert (told["hour"], told["microsecond"]) == (9, 250_000)
